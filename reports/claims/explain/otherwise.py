"""What a claim's verdict would be by stable grokking instead of the first, and in samples or seconds, not steps."""

from collections.abc import Iterator

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.family import Case
from deepboot.reports.claims.judge import judge_claim
from deepboot.reports.comparison import Comparison
from deepboot.reports.text import EVENT_WORDS
from deepboot.reports.time_axis import UNITS, Axis

OTHER_EVENT = {"grokking": "stable", "stable": "grokking"}
BETWEEN_RUNS = ("faster", "ratio")  # kinds of ratios of two runs' steps: they have no unit, but depend on it
AXES: tuple[Axis, ...] = ("samples", "seconds")


def otherwise(comparison: Comparison, case: Case) -> str:
    """A sentence on the verdicts that differ from the claim's own; empty where none does.

    They are judged as the claim is, and decide nothing: what was registered is the event, and steps. A verdict in
    seconds depends on the machine and on what else it trained. Where nothing was measured so, nothing is said.

    Args:
        comparison: in steps, of the claim's study.
        case: the claim, with its verdict.
    """
    if case.first.effect is None:
        return ""
    differing = [
        f"by {words}: {verdict}"
        for words, verdict in _verdicts(comparison, case)
        if verdict not in (None, case.overall)
    ]
    return f"Judged otherwise, {'; '.join(differing)}." if differing else ""


def _verdicts(comparison: Comparison, case: Case) -> Iterator[tuple[str, Verdict | None]]:
    """The verdict by each other measure that means something for this kind, with its name."""
    event, kind = case.first.settings.get("event"), case.first.claim["kind"]
    if event in OTHER_EVENT:
        other = OTHER_EVENT[event]
        words = EVENT_WORDS[other].noun if other == "stable" else f"first {EVENT_WORDS[other].noun}"
        yield words, _overall(comparison, case, {"event": other})
    if kind in BETWEEN_RUNS:
        for axis in AXES:
            yield UNITS[axis].plural, _overall(comparison.over(axis), case, {})


def _overall(comparison: Comparison, case: Case, changes: dict[str, str]) -> Verdict | None:
    """The verdict over all cells, at the confidence of the claim itself; None where no run was measured so."""
    same_confidence = {"confidence": case.first.confidence, "primary": False}
    claim = {**case.first.claim, **same_confidence, **changes}
    judged = judge_claim(comparison, claim, case.first.number, sharing=1)
    return judged[0].overall if any(one.effect is not None and one.effect.n for one in judged) else None
