"""What was tried in every arm, what each setting reached, and which one is frozen."""

from collections.abc import Iterator, Mapping
from typing import Any

from deepboot.reports.measures.tuning import FINAL_ERROR, Choice, Trial
from deepboot.reports.tables.table import Table
from deepboot.reports.text import EVENT_WORDS, listed, measure, plural, setting, step_estimate
from deepboot.reports.time_axis import UNITS, Axis

HEADINGS = ("setting", "runs", "median", "note")


def trial_table(choice: Choice, by: str, axis: Axis, budget: float) -> Table:
    """The settings of one arm, in the order in which they were tried."""
    unit = UNITS[axis].plural
    what = "final test error" if by == FINAL_ERROR else f"{EVENT_WORDS[by].step}, in {unit}"
    rows = [
        (setting_label(trial.setting), _runs(trial, by), _median(trial, by, budget), _note(choice, number))
        for number, trial in enumerate(choice.trials)
    ]
    note = f"Median over tuning seeds of the {what}. A run without one comes after all others; none is left out."
    return Table("", HEADINGS, rows, frozenset({"median"}), note)


def setting_label(values: Mapping[str, Any]) -> str:
    """A setting in one line.

    >>> setting_label({"optimizer.lr": 0.01, "model.width": 16})
    'optimizer.lr = 0.01, model.width = 16'
    """
    return ", ".join(f"{name} = {setting(value)}" for name, value in values.items())


def reached(trial: Trial, by: str, budget: float) -> str:
    """What a setting reached, in one line: "2 of 3 grokked, > 4,000"."""
    return f"{_runs(trial, by)}, {_median(trial, by, budget)}"


def warnings(choice: Choice, by: str) -> Iterator[str]:
    """Sentences on a choice that says less than it seems to: nothing reached, ties, the edge of what was tried."""
    best = choice.trials[choice.best]
    if not best.reached:
        frozen = "the first one is frozen unjudged. Try others, or more steps."
        yield f"No run {_got_there(by)} with any setting, so that {frozen}"
    elif choice.ties:
        ties = listed(setting_label(choice.trials[index].setting) for index in choice.ties)
        yield f"As good, and tried later: {ties}. More tuning seeds would tell them apart."
    for name, end in choice.edges if best.reached else ():
        yield f"It has the {end} {name} that was tried: a better one may lie beyond. Widen its values."


def _runs(trial: Trial, by: str) -> str:
    return f"{trial.reached} of {plural(trial.high.size, 'run')} {_got_there(by)}"


def _got_there(by: str) -> str:
    return "finished" if by == FINAL_ERROR else EVENT_WORDS[by].reached


def _median(trial: Trial, by: str, budget: float) -> str:
    low, high = trial.median
    return measure(high) if by == FINAL_ERROR else step_estimate(low, high, budget)


def _note(choice: Choice, number: int) -> str:
    return "frozen" if number == choice.best else "as good" if number in choice.ties else ""
