"""Verdicts on the claims that a study made before it ran.

A claim selects cells, and is judged in each, or once over all where its kind compares cells, by the interval of its
kind's effect: supported if it lies wholly in the claimed region, refuted if wholly in the complement, else
inconclusive. What cannot be judged is inconclusive with the reason. Over several cells its quantifier decides: that
one of m cells refutes "all", or supports "any", must hold at the error divided by m, since luck has a chance in each
cell; that every cell supports "all", or refutes "any", needs no correction. Importing this module makes the shipped
kinds known.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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
from reports.evidence import Across, Effect, Evidence, Scope, claim_kind, scope_of, seeds_needed
from reports.judgement import Judgement
from reports.selection import select
from reports.significance import over_verdicts
from reports.wording import plural

__all__ = ["Across", "Effect", "Evidence", "Judgement", "claim_kind", "confidences", "fewest_seeds", "judge"]


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
    """The fewest seeds with which each claim can be supported, for a dry run; None for never.

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
    values = given.model_dump()
    cells, why = select(comparison, common.where, values.get("world"))
    judged = partial(
        Judgement,
        claim=claim,
        number=number,
        overall="inconclusive",
        confidence=confidence,
        primary=common.primary,
        post_hoc=not all(_foreseen(claim, source) for source in comparison.sources),
        settings=values,
    )
    function = find("claim", common.kind).target
    found: list[Judgement] = []
    for place, evidence, reason in _places(comparison, cells, why, confidence, scope=scope_of(common.kind)):
        effect: Effect | None = function(evidence, **values) if evidence else None
        found.append(
            judged(
                cell_id=evidence.cell_id if isinstance(evidence, Evidence) else None,
                cell=f"over {plural(effect.cells, 'cell')}" if effect and effect.cells else place,
                effect=effect,
                verdict=effect.verdict if effect else "inconclusive",
                reason=effect.reason if effect else reason,
                evidence=evidence,
            )
        )
    overall = over_verdicts([one.verdict for one in found], common.quantifier, lambda place: _surely(found, place))
    return [replace(one, overall=overall) for one in found]


def _places(
    comparison: Comparison, chosen: pd.DataFrame, why: str, confidence: float, *, scope: Scope
) -> list[tuple[str | None, Evidence | Across | None, str]]:
    """Where a claim is judged: each place in words, on what, and if on nothing why."""
    if chosen.empty:
        return [(None, None, why)]
    if scope == "cell":
        rows = chosen[["cell_id", "world", "cell"]].itertuples(index=False)
        return [(cell, Evidence(comparison, cell_id, world, cell, confidence), "") for cell_id, world, cell in rows]
    if len(chosen) == 1:
        (label,) = chosen["cell"]
        return [(None, None, f"`where` selects one cell ({label}), and this kind compares two or more")]
    cells = chosen[KEY].merge(comparison.cells(), on=KEY)
    return [(f"over {plural(len(cells), 'cell')}", Across(comparison, cells, confidence), "")]


def _surely(judged: list[Judgement], place: int) -> bool:
    """Whether a cell's verdict is reached at the error divided by the number of cells, each of which had a chance."""
    one = judged[place]
    return len(judged) == 1 or one.at(1 - (1 - one.confidence) / len(judged)).verdict == one.verdict


def _foreseen(claim: dict[str, Any], source: Results) -> bool:
    """Whether a folder registered the claim before its first run, and with all the seeds that it now holds."""
    seeds = source.claims.get("seeds")
    grown = seeds is not None and not source.runs["seed"].isin(seeds).all()
    return claim in (source.claims.get("registered") or []) and not grown
