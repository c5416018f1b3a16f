"""The words of a report, explained with the thresholds of its study."""

from collections.abc import Sequence

import pandas as pd

from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.chance import chance_of
from deepboot.reports.text import count, listed, measure, metric_words, setting

EVERY = {"threshold": "0.99", "streak": "3", "stopping_threshold": "0.01"}  # where a table of runs has no such column


def glossary(comparison: Comparison) -> list[tuple[str, str]]:
    """Words and their meanings, in the order in which a reader meets them."""
    runs = comparison.runs
    reached = f"at least {_values(runs, 'threshold')} in {_values(runs, 'streak')} evaluations in a row"
    stopping = f"{_stopping(runs)} is at most {_values(runs, 'stopping_threshold')}"
    return [
        ("pool", "The finite training set: samples that are drawn once and then used again and again."),
        ("real world", "Training on a pool, as everyone does."),
        ("ideal world", f"The same training, but every step draws fresh samples{_until(runs)}"),
        ("pair", "A real run and the ideal run with its seed: same first weights, and the same samples until one is "
                 "used again (the first reuse). Each seed is one pair."),
        ("cell", "One configuration in one world, with all its seeds."),
        ("memorise", f"The train accuracy is {reached}. The ideal world has no pool, and memorises by its online "
                     "accuracy: on each batch before it is trained on."),
        ("grok", f"The test accuracy is {reached}; to grok late is to do so long after memorising."),
        ("stopping step", f"Where the pool counts as fitted: the first evaluation at which the {stopping}."),
        ("bootstrap error", "The real world's test error minus the ideal world's, at the same step and seed. It is "
                            "what the pool costs; the rest of the test error is not the pool's doing."),
        ("soft error", "The mean probability that the network gives to wrong answers; it moves before the error does."),
        *_chance(runs),
        ("never reached", "A run that ended before the event: its step is known to lie beyond the budget. It is "
                          "counted as later than all others, and never left out."),
        ("95 % interval", "A confidence interval: so made that it holds the true value in 95 of 100 studies."),
    ]  # fmt: skip


def _chance(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """The chance level, where the number of labels is known."""
    levels = sorted(set(chance_of(runs).dropna()))
    if not levels:
        return []
    values = listed(map(measure, levels), " or ")
    return [("chance", f"The error, and the soft error, of guessing evenly among the task's labels: {values}.")]


def _values(runs: pd.DataFrame, name: str) -> str:
    """The values of a setting of the evaluation, in all runs."""
    column = f"evaluation.{name}"
    if column not in runs:
        return EVERY[name]
    known: Sequence[object] = runs[column].dropna().unique().tolist()
    return listed((measure(one) if isinstance(one, float) else setting(one) for one in known), " or ") or EVERY[name]


def _until(runs: pd.DataFrame) -> str:
    """How long samples are fresh in the ideal world: for ever, or until all samples of a finite task have been used."""
    again = runs.loc[runs["world"] == "ideal", "first_reuse_step"].dropna()
    if again.empty:
        return ": nothing is ever used twice."
    return (
        f" as long as there are any. This task has finitely many: all that are not tested have been used by step "
        f"{count(int(again.min()))}, and are then used again. What the worlds differ in is how many samples they have."
    )


def _stopping(runs: pd.DataFrame) -> str:
    column = "evaluation.stopping_metric"
    known = runs[column].dropna().unique().tolist() if column in runs else []
    return listed((metric_words(str(one)) for one in known), " or ") or "train error, or train soft error,"
