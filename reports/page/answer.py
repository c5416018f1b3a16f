"""The answer to a study's question in one sentence: from the verdict on its leading claim, or else from its finding.

"Yes" and "No" answer a question, and a verdict answers a claim. They are the same only where the question asks for one
thing and the claim is about the presence of an effect; elsewhere the answer says that it is "as claimed", or not.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deepboot.reports.claims.effect import Effect
from deepboot.reports.claims.explain.evidence import weightiest
from deepboot.reports.claims.explain.sensitivity import sensitivity
from deepboot.reports.claims.family import Case, counts, leading
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import traits_of
from deepboot.reports.text import percent, plural

YES_OR_NO = re.compile(
    r"(?:am|are|can|did|do|does|has|have|is|was|were|will|would)\b(?!.*(?:, (?:and|or)| or )\b)", re.I
)
FINDING = 3  # sentences of a finding that stand for an answer


@dataclass(frozen=True)
class Answer:
    """What a reader has to know first.

    Attributes:
        head: "Yes", "No", "As claimed", "Not as claimed" or "Undecided"; "Finding" where nothing was claimed.
        text: the leading claim, quoted where it is not supported, with what was measured; or the finding.
        verdict: of the leading claim; empty without one.
        counts: how many claims are supported; empty without claims.
        settles: what would settle the leading claim where it is undecided, a sentence each.
    """

    head: str
    text: str
    verdict: str = ""
    counts: str = ""
    settles: tuple[str, ...] = ()


def answer(question: str, claims: Sequence[Case], finding: Sequence[str]) -> Answer:
    """The answer to a question.

    Args:
        question: of the study.
        claims: with their verdicts; the text is about the `leading` one.
        finding: sentences that stand for an answer where nothing was claimed.
    """
    standing = [case for case in claims if not case.first.withdrawn]
    case = leading(standing, lambda one: one.first.primary)
    if case is None:
        return Answer("Finding", " ".join(finding[:FINDING]) or "No run has an evaluation yet.")
    claimed = case.first.title.rstrip(".")
    quoted = claimed if case.overall == "supported" else f"“{claimed}”"  # what is not so is not said, but quoted
    text = f"{quoted}{_measured(case)}."
    settles = _settles(case) if case.overall == "inconclusive" else ()
    return Answer(_head(question, case), text, case.overall, f"{counts(standing)}.", settles)


def _head(question: str, case: Case) -> str:
    """The word for a verdict: "Yes" and "No" only where they cannot mislead."""
    if case.overall == "inconclusive":
        return "Undecided"
    supported = case.overall == "supported"
    decisive = [one for one in case.judgements if one.verdict == case.overall]
    plain = bool(YES_OR_NO.match(question)) and bool(decisive)
    if supported:
        return "Yes" if plain and all(map(_claims_an_effect, decisive)) else "As claimed"
    return "No" if plain and all(map(_shows_no_effect, decisive)) else "Not as claimed"


def _no_effect(judgement: Judgement) -> float | None:
    """The value of a claim's quantity without an effect, as 1 of a ratio; None where it has none."""
    quantity = traits_of(judgement.claim["kind"]).quantity
    return quantity.no_effect_of(judgement.settings) if quantity else None


def _claims_an_effect(judgement: Judgement) -> bool:
    """Whether the claimed region leaves out the value of no effect."""
    nothing, effect = _no_effect(judgement), judgement.effect
    return effect is not None and nothing is not None and not effect.region.low <= nothing <= effect.region.high


def _shows_no_effect(judgement: Judgement) -> bool:
    """Whether a claimed effect is absent or reversed, and not only smaller than claimed."""
    nothing, effect = _no_effect(judgement), judgement.effect
    if not _claims_an_effect(judgement) or effect is None or effect.interval is None or nothing is None:
        return False
    return effect.interval.low <= nothing if effect.region.low > nothing else effect.interval.high >= nothing


def _measured(case: Case) -> str:
    """What was measured, in brackets: estimate and interval in one cell, counts of verdicts over several."""
    if len(case.judgements) > 1:
        numbers = Counter(one.verdict for one in case.judgements)
        return f" ({', '.join(f'{verdict} in {n}' for verdict, n in numbers.items())} of {len(case.judgements)} cells)"
    one = case.first
    if one.effect is None or one.effect.estimate_text == "unknown":
        return ""
    ends = f"{percent(one.confidence)} interval {one.effect.interval_text}" if one.effect.interval else "no interval"
    return f" (measured: {_estimate(one, one.effect)}, {ends}, {_sample(one.effect)})"


def _estimate(judgement: Judgement, effect: Effect) -> str:
    """The estimate: a ratio as "6.9-fold", any other number after its name, by which a reader knows its sign."""
    text = effect.estimate_text
    fold = _no_effect(judgement) == 1 and text[-1].isdigit() and "between" not in text
    return f"{text}-fold" if fold else f"{effect.name} {text}"


def _sample(effect: Effect) -> str:
    return effect.sample_text if effect.missing else plural(effect.n, effect.items.removesuffix("s"))


def _settles(case: Case) -> tuple[str, ...]:
    """What would settle an undecided claim, from the undecided cell that weighs most."""
    undecided = [one for one in weightiest(case, len(case.judgements)) if one.verdict == "inconclusive"]
    one = undecided[0] if undecided else case.first
    reason = f"It cannot be judged yet: {one.reason}." if one.reason else ""
    return tuple(filter(None, (reason, *sensitivity(one))))
