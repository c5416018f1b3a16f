"""Two folders side by side, as text: what came of the cells that compare, and the verdicts on their claims."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from deepboot.bootstrap.study.difference import without_text
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.side_by_side import MatchedCells, Outcome
from deepboot.reports.tables.table import Table
from deepboot.reports.text import EVENT_WORDS, count, measure, plural, step_estimate

NAMES = ("A", "B")
NOT_CLAIMED = "not claimed"
MEANING = "Numbers: the median of the runs, and how many of them have it. "

JudgedClaim = tuple[dict[str, Any], tuple[list[Judgement], list[Judgement]]]


def results(first: Comparison, second: Comparison, matched: list[MatchedCells]) -> Table:
    """The cells that compare and do not read the same, a row for each number."""
    told = [(one, _numbers(one)) for one in matched]
    unequal = [(one, numbers) for one, numbers in told if any(ours != theirs for _, ours, theirs in numbers)]
    rows = [row for one, numbers in unequal for row in _rows(one, numbers)]
    alone = [len(one.cells()) - len(matched) for one in (first, second)]
    note = f"{MEANING if rows else ''}{_counted(len(matched), len(matched) - len(unequal), alone)}"
    return Table("Results", ("cell", "world", "number", *NAMES), rows, note=note)


def judged_claims(first: Comparison, second: Comparison) -> list[JudgedClaim]:
    """Every claim of one of two folders, without its text, with its judgements in the first one and in the second."""
    ours, theirs = (_by_claim(judge(one)) for one in (first, second))
    return [(json.loads(key), (ours.get(key, []), theirs.get(key, []))) for key in dict.fromkeys((*ours, *theirs))]


def verdicts(judged: list[JudgedClaim]) -> Table:
    """The claims that two folders do not judge alike: verdict, estimate and interval of each."""
    rows: list[tuple[str, ...]] = [row for row in map(_verdict_row, judged) if row[1] != row[2]]
    equal = len(judged) - len(rows)
    note = f"{plural(equal, 'claim')} with the same verdict and estimate in both." if equal else ""
    return Table("Verdicts", ("claim", *NAMES), rows, note=note)


def _rows(matched: MatchedCells, numbers: list[tuple[str, str, str]]) -> Iterator[tuple[str, ...]]:
    """The numbers of two cells, of which the first row has label and world."""
    cell, world = matched.label, " | ".join(dict.fromkeys(matched.worlds))
    for row in numbers:
        yield (cell, world, *row)
        cell = world = ""


def _numbers(matched: MatchedCells) -> list[tuple[str, str, str]]:
    """Each number's name, and its text in both cells."""
    first, second = matched.outcomes
    events = [(EVENT_WORDS[name].step, _step(first, name), _step(second, name)) for name in first.events]
    return [("test error at the end", _test_error(first), _test_error(second)), *events]


def _test_error(outcome: Outcome) -> str:
    return f"{measure(outcome.test_error)} ({outcome.ended} of {outcome.runs})" if outcome.ended else "–"


def _step(outcome: Outcome, event: str) -> str:
    row = outcome.events[event]
    if row is None:
        return "–"
    step = step_estimate(row["median_low"], row["median_high"], row["budget"])
    return f"{step} ({row['reached']} of {row['n']})"


def _counted(matched: int, equal: int, alone: list[int]) -> str:
    """How many cells compare, read the same, and have no partner."""
    if not matched:
        return "No two cells compare: none has the same values of the settings that vary in A or in B."
    lonely = [f"{plural(n, 'cell')} of {name}" for n, name in zip(alone, NAMES, strict=True) if n]
    others = f" Without a partner: {' and '.join(lonely)}." if lonely else ""
    return f"Cells that compare: {count(matched)}, of which {count(equal)} read the same in both.{others}"


def _by_claim(judgements: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    """The judgements of every claim, by the claim without its text as JSON."""
    groups = groupby(judgements, key=lambda one: json.dumps(without_text(one.claim), sort_keys=True))
    return {claim: list(group) for claim, group in groups}


def _verdict_row(judged: JudgedClaim) -> tuple[str, str, str]:
    _, (first, second) = judged
    return (first or second)[0].title, _verdict(first), _verdict(second)


def _verdict(judgements: list[Judgement]) -> str:
    """The verdict on a claim with its estimate, or over how many cells."""
    if not judgements:
        return NOT_CLAIMED
    first = judgements[0]
    if len(judgements) > 1:
        numbers = Counter(one.verdict for one in judgements)
        return f"{first.overall}: {', '.join(f'{verdict} in {n}' for verdict, n in numbers.items())}"
    effect = first.effect
    return f"{first.overall}: {f'{effect.estimate_text} ({effect.interval_text})' if effect else first.reason}"
