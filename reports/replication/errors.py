"""Errors in a study's published numbers that show before the first run."""

from collections.abc import Iterator, Mapping
from typing import Any

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.parse import settings_problems
from deepboot.bootstrap.study.schema import PUBLISHED_AS, Published
from deepboot.bootstrap.wording import suggestion
from deepboot.reports.claims.errors import PlannedRuns, errors_by_key
from deepboot.reports.claims.kind import traits_of
from deepboot.reports.replication.ledger import as_claim


def published_errors(published: list[dict[str, Any]], planned: PlannedRuns) -> list[str]:
    """One sentence per error: the entry by its number from 0, what was expected, what came, and the cure.

    Args:
        published: of a study that has been parsed, so that every entry's own keys are right.
        planned: the runs that they will be measured on.
    """
    errors: list[str] = []
    claims: dict[str, dict[str, Any]] = {}
    for number, raw in enumerate(published):
        key = f"published[{number}]"
        found = list(_entry_errors(raw, key))
        errors += found
        if not found:
            claims[key] = as_claim(raw)
    return errors + errors_by_key(claims, planned)


def quantities() -> list[str]:
    """The kinds of claim whose estimate can stand beside a published number, sorted."""
    return [kind for kind in registry.names("claim") if traits_of(kind).quantity is not None]


def _entry_errors(raw: Mapping[str, Any], key: str) -> Iterator[str]:
    """Errors of an entry by itself, beside its own keys: of its kind, and of the settings of this kind."""
    kind = raw["quantity"]
    quantity = traits_of(kind).quantity
    if quantity is None:
        yield (
            f"`{key}.quantity`: the kind {kind} measures nothing that can stand beside a number. "
            f"Choose one of {', '.join(quantities())}."
        )
        return
    known = sorted({*Published.model_fields, *registry.settings("claim", kind).model_fields} - {*quantity.bounds})
    for name in raw:
        if name in quantity.bounds:
            yield (
                f"`{key}.{name}`: a published number is no claim and has no {name}. "
                f"Give it as one of {', '.join(PUBLISHED_AS)}."
            )
        elif name not in known:
            yield f"`{key}.{name}`: unknown key. {suggestion(name, known)}"
    settings = {name: raw[name] for name in known if name in raw and name not in Published.model_fields}
    yield from settings_problems("claim", kind, {**quantity.bounds, **settings}, key)
