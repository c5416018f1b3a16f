"""Verdicts on the claims that a study made before it ran.

A claim selects cells, and is judged in each, or once over all where its kind compares cells, by the interval of its
kind's effect: supported if it lies wholly in the claimed region, refuted if wholly in the complement, else
inconclusive. What cannot be judged is inconclusive with the reason. Importing this module makes the shipped kinds
known.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import ValidationError

import reports.kinds  # registers the kinds
import reports.kinds_across  # noqa: F401  registers the kinds that compare cells
from bootstrap.registry import Settings, find, settings
from bootstrap.results import Results
from bootstrap.study import ClaimCommon
from reports import kinds_equivalence  # noqa: F401  registers the kinds of equality
from reports.cells import KEY
from reports.compare import Comparison, compare
from reports.evidence import Across, Effect, Evidence, Verdict, claim_kind, scope_of, seeds_needed
from reports.selection import select
from reports.wording import percent, plural, setting

__all__ = ["Across", "Effect", "Evidence", "Judgement", "claim_kind", "confidences", "fewest_seeds", "judge"]


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict in one cell, or over several.

    Attributes:
        claim: as written in the study.
        number: its place among the study's claims, from 1.
        cell_id: where it was judged; None over several cells, or where ``where`` selects too few.
        cell: the same in words ("over 5 cells"); None where ``where`` selects too few.
        effect: what was measured; None where nothing could be.
        verdict: in this cell, or over all of them.
        overall: of the claim over all cells that it selects, by its quantifier.
        confidence: of the interval, corrected if the claim is primary.
        primary: whether it shares the family-wise error.
        post_hoc: not among the claims registered before the first run, or seeds were added after looking.
        reason: why it could not be judged, else empty.
    """

    claim: dict[str, Any]
    number: int
    cell_id: str | None
    cell: str | None
    effect: Effect | None
    verdict: Verdict
    overall: Verdict
    confidence: float
    primary: bool
    post_hoc: bool
    reason: str

    @property
    def title(self) -> str:
        """The claim's own text, or its kind and settings."""
        given = {key: value for key, value in self.claim.items() if key not in ClaimCommon.model_fields}
        listed = ", ".join(f"{key} {_written(value)}" for key, value in given.items())
        return self.claim.get("text") or self.claim["kind"] + (f" ({listed})" if listed else "")

    @property
    def sentence(self) -> str:
        """What a person would say."""
        inside = f" in {self.cell}" if self.cell not in (None, "real", "ideal") else ""
        place = f" {self.cell}" if self.cell and self.cell_id is None else inside
        if self.effect is None or self.effect.interval is None:
            said = f"not judged{place}: {self.reason}"
        else:
            effect = self.effect
            noted = f"; {effect.note}" if effect.note else ""
            said = (
                f"{self.verdict}{place}: the {effect.name} is {effect.estimated} ({percent(self.confidence)} interval "
                f"{effect.spanned}; {plural(effect.n, effect.items.removesuffix('s'))}{noted}); "
                f"claimed: {effect.claimed}"
            )
        return f"{said[0].upper()}{said[1:]}{' (post hoc)' if self.post_hoc else ''}."

    def as_dict(self) -> dict[str, Any]:
        """For JSON: open ends are null."""
        effect = self.effect
        return {
            "claim": self.claim,
            "number": self.number,
            "cell_id": self.cell_id,
            "cell": self.cell,
            "verdict": self.verdict,
            "overall": self.overall,
            "effect": effect.name if effect else None,
            "estimate": _closed(effect.estimate if effect else None),
            "interval": _closed(effect.interval if effect else None),
            "n": effect.n if effect else 0,
            "threshold": _closed(effect.region if effect else None),
            "confidence": self.confidence,
            "primary": self.primary,
            "post_hoc": self.post_hoc,
            "reason": self.reason,
            "sentence": self.sentence,
        }


def judge(results: Results | Comparison) -> list[Judgement]:
    """A judgement for every claim of the study and every cell that it selects, in the study's order.

    A claim whose kind compares cells has one judgement over all of them. A claim whose ``where`` selects nothing, or
    fewer than two cells to compare, has one judgement, without a cell. Of several folders compared, a claim is judged
    over all cells, and is post hoc unless each of them registered it.

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    comparison = results if isinstance(results, Comparison) else compare(results)
    claims = _claims(comparison)
    found: list[Judgement] = []
    for number, (claim, confidence) in enumerate(zip(claims, confidences(claims), strict=True), start=1):
        found += _judged(comparison, claim, number, confidence)
    return found


def confidences(claims: list[dict[str, Any]]) -> list[float]:
    """The coverage that each claim's interval must have: primary claims share their error (Bonferroni).

    >>> confidences([{"kind": "rate"}, {"kind": "rate", "primary": True}, {"kind": "faster", "primary": True}])
    [0.95, 0.975, 0.975]
    """
    primary = max(sum(bool(claim.get("primary")) for claim in claims), 1)
    asked = [_common(claim).confidence for claim in claims]
    shared = [1 - (1 - confidence) / primary for confidence in asked]
    return [s if claim.get("primary") else a for claim, a, s in zip(claims, asked, shared, strict=True)]


def fewest_seeds(claims: list[dict[str, Any]]) -> list[int | None]:
    """The fewest seeds with which each claim can reach a verdict at all, for a dry run; None for never.

    >>> fewest_seeds([{"kind": "grokking_delay", "min_ratio": 5.0}, {"kind": "rate", "min_rate": 0.5}])
    [6, 6]

    Raises:
        ValueError: as in `judge`.
    """
    given = [_parsed(claim)[1].model_dump() for claim in claims]
    together = zip(claims, given, confidences(claims), strict=True)
    return [seeds_needed(claim["kind"], values, confidence) for claim, values, confidence in together]


def _claims(comparison: Comparison) -> list[dict[str, Any]]:
    claims: list[dict[str, Any]] = []
    for source in comparison.sources:
        claims += [claim for claim in source.study.get("claims") or [] if claim not in claims]
    return claims


def _common(claim: Mapping[str, Any]) -> ClaimCommon:
    try:
        return ClaimCommon(**{key: value for key, value in claim.items() if key in ClaimCommon.model_fields})
    except ValidationError as error:
        raise _mistake(claim, error) from error


def _parsed(claim: Mapping[str, Any]) -> tuple[ClaimCommon, Settings]:
    common = _common(claim)
    schema = settings("claim", common.kind)
    try:
        return common, schema(**{key: value for key, value in claim.items() if key not in ClaimCommon.model_fields})
    except ValidationError as error:
        raise _mistake(claim, error) from error


def _mistake(claim: Mapping[str, Any], error: ValidationError) -> ValueError:
    mistakes = "; ".join(f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in error.errors())
    return ValueError(f"claim of kind {claim.get('kind')!r}: {mistakes}. See `deepboot list claims`.")


def _judged(comparison: Comparison, claim: dict[str, Any], number: int, confidence: float) -> list[Judgement]:
    common, given = _parsed(claim)
    function, values = find("claim", common.kind).target, given.model_dump()
    cells, why = select(comparison, common.where, values.get("world"))
    if scope_of(common.kind) == "cells":
        place, effect, reason = _across(comparison, cells, why, confidence, function=function, values=values)
        verdict: Verdict = effect.verdict if effect else "inconclusive"
        shared = _shared(comparison, claim, number, common, verdict, confidence)
        return [Judgement(**shared, cell_id=None, cell=place, effect=effect, verdict=verdict, reason=reason)]
    evidence = [
        Evidence(comparison, cell_id, world, cell, confidence)
        for cell_id, world, cell in cells[["cell_id", "world", "cell"]].itertuples(index=False)
    ]
    effects: list[Effect] = [function(one, **values) for one in evidence]
    overall = _overall([effect.verdict for effect in effects], common.quantifier)
    shared = _shared(comparison, claim, number, common, overall, confidence)
    if not effects:
        return [Judgement(**shared, cell_id=None, cell=None, effect=None, verdict="inconclusive", reason=why)]
    return [
        Judgement(
            **shared, cell_id=one.cell_id, cell=one.cell, effect=effect, verdict=effect.verdict, reason=effect.reason
        )
        for one, effect in zip(evidence, effects, strict=True)
    ]


def _across(
    comparison: Comparison,
    chosen: pd.DataFrame,
    why: str,
    confidence: float,
    *,
    function: Callable[..., Effect],
    values: dict[str, Any],
) -> tuple[str | None, Effect | None, str]:
    """Over what a claim that compares cells was judged, its effect, and why there is none."""
    if chosen.empty:
        return None, None, why
    if len(chosen) == 1:
        (label,) = chosen["cell"]
        return None, None, f"`where` selects one cell ({label}), and this kind compares two or more"
    cells = chosen[KEY].merge(comparison.cells(), on=KEY)
    effect = function(Across(comparison, cells, confidence), **values)
    return f"over {plural(effect.cells or len(cells), 'cell')}", effect, effect.reason


def _shared(
    comparison: Comparison, claim: dict[str, Any], number: int, common: ClaimCommon, overall: Verdict, confidence: float
) -> dict[str, Any]:
    """What all judgements of a claim have in common."""
    return {
        "claim": claim,
        "number": number,
        "overall": overall,
        "confidence": confidence,
        "primary": common.primary,
        "post_hoc": not all(_foreseen(claim, source) for source in comparison.sources),
    }


def _foreseen(claim: dict[str, Any], source: Results) -> bool:
    """Whether a folder registered the claim before its first run, and with all the seeds that it now holds."""
    seeds = source.claims.get("seeds")
    grown = seeds is not None and not source.runs["seed"].isin(seeds).all()
    return claim in (source.claims.get("registered") or []) and not grown


def _overall(verdicts: list[Verdict], quantifier: str) -> Verdict:
    """All: every cell must support it, one refutes it. Any: one supports it, every cell must refute it."""
    one: Verdict = "refuted" if quantifier == "all" else "supported"
    every: Verdict = "supported" if quantifier == "all" else "refuted"
    if not verdicts:
        return "inconclusive"
    if one in verdicts:
        return one
    return every if set(verdicts) == {every} else "inconclusive"


def _written(value: Any) -> str:
    """A setting's value; of several, each with its name."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_written(held)}" for name, held in value.items())
    return setting(value)


def _closed(bounds: tuple[float, float] | None) -> list[float | None] | None:
    return None if bounds is None else [end if math.isfinite(end) else None for end in bounds]
