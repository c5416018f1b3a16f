"""The prospects of a study's claims before any run: one line each, on the effect that so many seeds can settle."""

from collections.abc import Iterator, Mapping
from typing import Any

from deepboot.bootstrap.study.schema import ClaimCommon
from deepboot.reports.claims.judge import confidences, fewest_seeds, parsed
from deepboot.reports.claims.kind import traits_of
from deepboot.reports.text import count, plural, setting


def prospects(claims: list[dict[str, Any]], seeds: int) -> list[str]:
    """A line for each claim: the condition under which so many seeds settle it, or the seeds that it needs.

    >>> prospects([{"kind": "equivalent", "margin": 0.02}, {"kind": "faster"}], 5)[0]
    'equivalent (margin 0.02): with 5 seeds settled if the spread of the pairs is below 0.0125 (80 % power)'
    >>> prospects([{"kind": "equivalent", "margin": 0.02}, {"kind": "faster"}], 5)[1]
    'faster: needs at least 6 seeds, has 5: cannot be supported'

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    together = zip(claims, fewest_seeds(claims), confidences(claims), strict=True)
    return [f"{heading(claim)}: {_prospect(claim, needed, seeds, level)}" for claim, needed, level in together]


def heading(claim: Mapping[str, Any]) -> str:
    """A claim's kind with the settings and the cells that it names.

    >>> heading({"kind": "rate", "min_rate": 0.5, "where": {"train_size": 1250}, "text": "Most grok."})
    'rate (min_rate 0.5; where train_size 1,250)'
    """
    given = ", ".join(_pairs({key: value for key, value in claim.items() if key not in ClaimCommon.model_fields}))
    where = ", ".join(_pairs(claim.get("where") or {}))
    inside = "; ".join(filter(None, (given, f"where {where}" if where else "")))
    return f"{claim['kind']} ({inside})" if inside else str(claim["kind"])


def _pairs(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every setting of a nested table by its dotted name, with its value."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} {setting(value)}"


def _prospect(claim: dict[str, Any], needed: int | None, seeds: int, confidence: float) -> str:
    if needed is None:
        return "no number of seeds can settle it"
    traits, least = traits_of(claim["kind"]), f"at least {plural(needed, 'seed')}"
    if seeds < needed and not traits.refutable_early:
        return f"needs {least}, has {count(seeds)}: cannot be supported"
    if traits.clause is None:
        return f"needs {least} for an interval; run a few and ask `deepboot plan` again, on their folder"
    short = f"needs {least} to be supported; " if seeds < needed else ""
    return f"{short}with {plural(seeds, 'seed')} {traits.clause(parsed(claim)[1], seeds, confidence)}"
