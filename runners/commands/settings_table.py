"""The settings of an entry as a table for a terminal: name, values that it may have, default, and what it is."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from deepboot.bootstrap.descriptions import settings_lines
from deepboot.bootstrap.registry import Settings
from deepboot.reports.tables.terminal import row_lines, rule
from deepboot.runners.commands.example import toml

WIDTHS = (18, 24, 14, 38)  # of the columns in a terminal: with two spaces between them, 100
COLUMNS = ("setting", "values", "default", "what it is")
TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "object": "table"}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
          "multipleOf": "a multiple of"}  # fmt: skip


def table(*parts: tuple[Callable[..., Any], type[Settings]]) -> Iterator[str]:
    """Lines of 100 columns with a row for every setting.

    Args:
        parts: functions or classes, each with the schema of its settings.
    """
    yield from row_lines(COLUMNS, WIDTHS)
    yield rule(WIDTHS)
    for target, schema in parts:
        properties = schema.model_json_schema().get("properties", {})
        for name, line in settings_lines(target, schema).items():
            yield from row_lines((name, values(properties[name]), default(schema.model_fields[name]), line), WIDTHS)


def values(allowed: dict[str, Any]) -> str:
    """What a setting may be, in words, from its JSON schema.

    >>> values({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
    'number, at least 0, below 1'
    >>> values({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65536}, {"type": "null"}]})
    'whole number, 1 to 65,536'
    >>> values({"enum": ["he", "torch"], "type": "string"}), values({"type": "array", "items": {"type": "string"}})
    ('"he", "torch"', 'list: text')
    """
    if "anyOf" in allowed:
        return " or ".join(values(one) for one in allowed["anyOf"] if one.get("type") != "null")
    if "enum" in allowed or "const" in allowed:
        return ", ".join(map(toml, allowed.get("enum") or [allowed["const"]]))
    if "prefixItems" in allowed:
        return f"list of {len(allowed['prefixItems'])}: {values(allowed['prefixItems'][0])}"
    if allowed.get("type") == "array":
        return f"list: {values(allowed.get('items', {}))}"
    return ", ".join([TYPES.get(allowed.get("type", ""), "table"), *_limits(allowed)])


def _limits(allowed: dict[str, Any]) -> list[str]:
    """The limits of a number: "1 to 9", or "above 0"."""
    limits = {word: f"{allowed[key]:,}" for key, word in LIMITS.items() if key in allowed}
    if {"at least", "at most"} <= limits.keys():
        span = f"{limits.pop('at least')} to {limits.pop('at most')}"
        return [span, *(f"{word} {limit}" for word, limit in limits.items())]
    return [f"{word} {limit}" for word, limit in limits.items()]


def default(field: FieldInfo) -> str:
    """A setting's default as TOML has it, "required" without one, "–" where it is not set."""
    value = field.get_default(call_default_factory=True)
    return "required" if field.is_required() else "–" if value is None else toml(value)
