"""How two studies differ: settings, sweeps, claims and published numbers, of resolved studies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepboot.bootstrap.study.defaults import defaults, flat
from deepboot.bootstrap.study.schema import MEASURED

NO_SETTINGS = ("question", "source", *MEASURED, "scale", "sweep", "tune", "claims", "published")
Tables = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """What two studies have different values of; None where one of them does not have it."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class StudyDifference:
    """How two studies differ.

    Attributes:
        settings: single values, by dotted name.
        sweep: settings that at least one of them sweeps: a list of values where it does, else the single value.
        claims, published: those that only the first study has, and those that only the second has; their texts alone
            make no difference.
    """

    settings: list[Difference]
    sweep: list[Difference]
    claims: tuple[list[Any], list[Any]]
    published: tuple[list[Any], list[Any]]


def difference(first: Tables, second: Tables) -> StudyDifference:
    """How two resolved studies differ.

    A setting that only one of them has is left out where it is at its default there.
    """
    swept = [*first.get("sweep", {}), *second.get("sweep", {})]
    found = unequal(_settings(first, second), _settings(second, first))
    return StudyDifference(
        [one for one in found if one.name not in swept],
        [one for one in found if one.name in swept],
        _only("claims", first, second),
        _only("published", first, second),
    )


def unequal(first: Tables, second: Tables) -> list[Difference]:
    """The names whose values differ, in the order of the first mapping, then of the second."""
    values = [Difference(name, first.get(name), second.get(name)) for name in dict.fromkeys((*first, *second))]
    return [one for one in values if one.first != one.second]


def _settings(study: Tables, other: Tables) -> dict[str, Any]:
    """A study's settings by dotted name, without defaults that the other study has no place for."""
    own, theirs, known = _all_settings(study), _all_settings(other), defaults(study)
    return {name: value for name, value in own.items() if name in theirs or known.get(name) != value}


def _all_settings(study: Tables) -> dict[str, Any]:
    """All settings by dotted name, a swept one with the list of its values."""
    swept = study.get("sweep", {})
    tables = {name: table for name, table in study.items() if name not in NO_SETTINGS}
    single = {name: value for name, value in flat(tables).items()
              if not any(f"{name}.".startswith(f"{dotted}.") for dotted in swept)}  # fmt: skip
    return single | dict(swept)


def without_text(claim: Tables) -> dict[str, Any]:
    """A claim or a published number by all that is measured and judged, without its wording."""
    return {name: value for name, value in claim.items() if name != "text"}


def _only(name: str, first: Tables, second: Tables) -> tuple[list[Any], list[Any]]:
    """What is only in the first study's list of this name, and what is only in the second's."""
    one, other = (study.get(name) or [] for study in (first, second))
    return _missing_in(other, one), _missing_in(one, other)


def _missing_in(known: list[Any], entries: list[Any]) -> list[Any]:
    there = [without_text(entry) for entry in known]
    return [entry for entry in entries if without_text(entry) not in there]
