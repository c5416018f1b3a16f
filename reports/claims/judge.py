"""Verdicts on the claims that a study made before it ran.

A claim selects cells, and is judged in each, or once over all where its kind compares cells, by the interval of its
kind's effect: supported if it lies wholly in the claimed region, refuted if wholly in the complement, else
inconclusive. A claim that cannot be judged is inconclusive, with the reason. Over several cells its quantifier decides:
one of m cells refutes "all", or supports "any", at the error divided by m, since chance may strike in each cell; every
cell must support "all", or refute "any", and this needs no correction. Importing this module registers the shipped
kinds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from deepboot.bootstrap.registry import Settings, find, settings
from deepboot.bootstrap.results import Results
from deepboot.bootstrap.study.schema import ClaimCommon
from deepboot.reports.cells import KEY
from deepboot.reports.claims import kinds  # noqa: F401  registers the shipped kinds
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Across, Effect, Evidence, claim_kind, seeds_needed, traits_of
from deepboot.reports.claims.p_values import over_verdicts
from deepboot.reports.claims.registration import Registration, studies
from deepboot.reports.claims.where import select
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.text import plural

__all__ = ["Across", "Effect", "Evidence", "Judgement", "claim_kind", "confidences", "fewest_seeds", "judge"]


def judge(results: Results | Comparison) -> list[Judgement]:
    """A judgement for every claim and every cell that it selects, the registered claims first, in their order.

    A claim whose kind compares cells has one judgement over all of them. A claim whose ``where`` selects nothing, or
    fewer than two cells to compare, has one judgement, without a cell. A registered claim that is no longer in the
    study is judged too, as withdrawn. Of several folders, each is judged by its own claims, in its own cells; shards
    of one study are judged as one folder.

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take; not if it is withdrawn.
    """
    comparison = results if isinstance(results, Comparison) else compare(results)
    return [judgement for folder, part in studies(comparison).items() for judgement in _judge_study(part, folder)]


def _judge_study(comparison: Comparison, folder: str) -> Iterator[Judgement]:
    source = comparison.sources[0]
    registered = Registration.of(source)  # primary claims are as many as they were then, whatever was added later
    claims = registered.claims_of(source.study)
    for number, one in enumerate(claims, start=1):
        together = registered.claims if one.registered else [other.claim for other in claims]
        try:
            judgements = judge_claim(comparison, one.claim, number, _number_sharing(together))
        except ValueError as error:
            if not one.withdrawn:
                raise
            judgements = [_not_judged(one.claim, number, str(error).removesuffix("."))]
        changed = tuple(registered.changes(one, source.study, _rows(comparison, judgements), comparison.runs))
        for judgement in judgements:
            yield replace(judgement, changed=changed, withdrawn=one.withdrawn, folder=folder)


def confidences(claims: list[dict[str, Any]]) -> list[float]:
    """The coverage that each claim's interval must have: the allowed error is divided by the number of primary claims.

    >>> confidences([{"kind": "rate"}, {"kind": "rate", "primary": True}, {"kind": "faster", "primary": True}])
    [0.95, 0.975, 0.975]
    """
    return [_confidence(_common_settings(claim), _number_sharing(claims)) for claim in claims]


def _number_sharing(claims: list[dict[str, Any]]) -> int:
    """The number of primary claims, by which the error that each of them is allowed is divided (Bonferroni)."""
    return max(sum(bool(claim.get("primary")) for claim in claims), 1)


def _confidence(common: ClaimCommon, sharing: int) -> float:
    return 1 - (1 - common.confidence) / sharing if common.primary else common.confidence


def fewest_seeds(claims: list[dict[str, Any]]) -> list[int | None]:
    """The fewest seeds with which each claim can be supported, for a dry run; None for never.

    >>> fewest_seeds([{"kind": "grokking_delay", "min_ratio": 5.0}, {"kind": "rate", "min_rate": 0.5}])
    [6, 6]

    Raises:
        ValueError: as in `judge`.
    """
    given = [parsed(claim)[1].model_dump() for claim in claims]
    together = zip(claims, given, confidences(claims), strict=True)
    return [seeds_needed(claim["kind"], values, confidence) for claim, values, confidence in together]


def _common_settings(claim: Mapping[str, Any]) -> ClaimCommon:
    try:
        return ClaimCommon(**{key: value for key, value in claim.items() if key in ClaimCommon.model_fields})
    except ValidationError as error:
        raise _settings_error(claim, error) from error


def parsed(claim: Mapping[str, Any]) -> tuple[ClaimCommon, Settings]:
    """The settings common to all kinds of claim, and the settings of this claim's kind.

    Raises:
        ValueError: an unknown kind, or settings that it does not take.
    """
    common = _common_settings(claim)
    schema = settings("claim", common.kind)
    try:
        return common, schema(**{key: value for key, value in claim.items() if key not in ClaimCommon.model_fields})
    except ValidationError as error:
        raise _settings_error(claim, error) from error


def _settings_error(claim: Mapping[str, Any], error: ValidationError) -> ValueError:
    messages = "; ".join(f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in error.errors())
    return ValueError(f"claim of kind {claim.get('kind')!r}: {messages}. See `deepboot list claims`.")


def judge_claim(comparison: Comparison, claim: dict[str, Any], number: int, sharing: int) -> list[Judgement]:
    """A claim's judgement in every cell, or one over all, with the overall verdict in each."""
    judgements = judge_in_cells(comparison, claim, number, sharing)
    verdicts = [one.verdict for one in judgements]
    quantifier = parsed(claim)[0].quantifier
    overall = over_verdicts(verdicts, quantifier, lambda index: _surely(judgements, index))
    return [replace(one, overall=overall) for one in judgements]


def judge_in_cells(comparison: Comparison, claim: dict[str, Any], number: int, sharing: int = 1) -> list[Judgement]:
    """A claim's judgement in every cell, or one over all, without a verdict over them: inconclusive stands for it.

    Args:
        claim: as a study has it.
        number: its position among the study's claims.
        sharing: the number of primary claims, by which the error that each is allowed is divided.

    Raises:
        ValueError: as in `judge`.
    """
    common, given = parsed(claim)
    values, confidence = given.model_dump(), _confidence(common, sharing)
    cells, why = select(comparison, common.where, values.get("world"))
    judgement = partial(
        Judgement,
        claim=claim,
        number=number,
        overall="inconclusive",
        confidence=confidence,
        primary=common.primary,
        settings=values,
    )
    function = find("claim", common.kind).target
    judgements: list[Judgement] = []
    for label, evidence, reason in _evidence(comparison, cells, why, confidence, kind=common.kind):
        effect: Effect | None = function(evidence, **values) if evidence else None
        judgements.append(
            judgement(
                cell_id=evidence.cell_id if isinstance(evidence, Evidence) else None,
                cell=f"over {plural(effect.cells, 'cell')}" if effect and effect.cells else label,
                effect=effect,
                verdict=effect.verdict if effect else "inconclusive",
                reason=effect.reason if effect else reason,
                evidence=evidence,
            )
        )
    return judgements


def _not_judged(claim: dict[str, Any], number: int, reason: str) -> Judgement:
    """The judgement of a withdrawn claim with an error, so that an error that was taken out stops no report."""
    primary = bool(claim.get("primary"))
    claim = {"kind": "unknown", **claim}
    return Judgement(claim, number, None, None, None, "inconclusive", "inconclusive", 0.95, primary, reason)


def _rows(comparison: Comparison, judged: list[Judgement]) -> np.ndarray:
    """The rows of the runs that a claim's verdict rests on: of the cells it was judged in, and their ideal partners."""
    evidence = [one.evidence for one in judged if one.evidence is not None]
    cells = [cell for one in evidence for cell in (one.per_cell if isinstance(one, Across) else [one])]
    tables = [cell.runs_of(world).index for cell in cells for world in (cell.world, "ideal")]
    return np.unique(np.concatenate([*tables, comparison.runs.index[:0]]))


def _evidence(
    comparison: Comparison, chosen: pd.DataFrame, why: str, confidence: float, *, kind: str
) -> list[tuple[str | None, Evidence | Across | None, str]]:
    """What a claim is judged on, once or cell by cell: a label, the evidence, and the reason if there is none."""
    if chosen.empty:
        return [(None, None, why)]
    traits = traits_of(kind)
    if traits.scope == "cell":
        rows = chosen[[*KEY, "cell"]].itertuples(index=False)
        return [(cell, Evidence(comparison, cell_id, world, cell, confidence), "") for cell_id, world, cell in rows]
    if len(chosen) < traits.fewest_cells:
        (label,) = chosen["cell"]
        return [(None, None, f"`where` selects one cell ({label}), and this kind compares two or more")]
    cells = chosen[KEY].merge(comparison.cells(), on=KEY)
    return [(f"over {plural(len(cells), 'cell')}", Across(comparison, cells, confidence), "")]


def _surely(judged: list[Judgement], index: int) -> bool:
    """Whether a cell's verdict is reached at the error divided by the number of cells (Bonferroni)."""
    one = judged[index]
    return len(judged) == 1 or one.at(1 - (1 - one.confidence) / len(judged)).verdict == one.verdict
