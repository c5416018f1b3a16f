"""Roles of settings, declared on their fields: every list of settings elsewhere is derived from them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deepboot.bootstrap.registry import Settings


@dataclass(frozen=True)
class Role:
    """The roles of one setting, beside its type in ``Annotated``; a setting without any has the cautious defaults.

    Attributes:
        identity: whether another value is another run, with another ``run_id``.
        per_member: whether members of one pack may have different values.
        extendable: whether it may change when a study is extended in its output folder.
        in_phase: whether a phase of a study may change it.
        judged: whether it only judges rows that are there already, so that nothing is trained anew.
    """

    identity: bool = True
    per_member: bool = False
    extendable: bool = False
    in_phase: bool = False
    judged: bool = False


def role_of(name: str, *schemas: type[Settings]) -> Role:
    """The role of a field, as the first of these schemas that declares one has it; else the cautious defaults."""
    fields = [schema.model_fields[name] for schema in schemas if name in schema.model_fields]
    declared = [entry for field in fields for entry in field.metadata if isinstance(entry, Role)]
    return declared[0] if declared else Role()


def fields_where(condition: Callable[[Role], bool], schema: type[Settings], *others: type[Settings]) -> dict[str, Any]:
    """The fields of a schema whose roles fulfil a condition, as pydantic's ``exclude`` takes them.

    Args:
        condition: on the role of a field.
        schema: the schema; of its tables without such a role the fields inside are looked at.
        others: schemas that declare the roles of fields for which it declares none itself.

    Returns:
        True by name; for a table that only has such fields inside, these by name.
    """
    chosen: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        table = field.annotation
        if condition(role_of(name, schema, *others)):
            chosen[name] = True
        elif isinstance(table, type) and issubclass(table, Settings):
            inner = fields_where(condition, table)
            chosen |= {name: inner} if inner else {}
    return chosen


def dotted_names(fields: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of fields as `fields_where` returns them.

    >>> list(dotted_names({"sweep": True, "training": {"seeds": True}}))
    ['sweep', 'training.seeds']
    """
    for name, inner in fields.items():
        if inner is True:
            yield f"{prefix}{name}"
        else:
            yield from dotted_names(inner, f"{prefix}{name}.")
