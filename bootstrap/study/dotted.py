"""Dotted names of settings, and a study's tables with one value replaced. Loads no torch."""

import copy
import re
import tomllib
from typing import Any

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import clipped, shown

NAME = r'\s*(?:[\w-]+|"(?:[^"\\\n]|\\.)*")\s*'  # one part of a dotted name
DOTTED = rf"{NAME}(?:\.{NAME})*"


def with_value(raw: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy of nested tables and lists with the value at ``a.b.c`` replaced; a name in quotes may hold dots itself.

    >>> with_value({"sweep": {}}, 'sweep."model.width"', [8, 16])
    {'sweep': {'model.width': [8, 16]}}
    >>> with_value({"transforms": [{"name": "clip", "norm": 1}]}, "transforms.0.norm", 2)
    {'transforms': [{'name': 'clip', 'norm': 2}]}

    Raises:
        StudyError: something on the way is no table and no list, or a list has no value of that index; or the name is
            not written as TOML writes it.
    """
    *path, last = names_in(dotted)
    changed = dict(raw)
    inner: Any = changed
    for name in path:
        key: Any = _key(inner, name, dotted)
        held = inner[key] if isinstance(inner, list) else inner.get(key, {})
        if not isinstance(held, dict | list):
            raise StudyError([
                f"`{clipped(dotted)}`: expected `{name}` to be a table, got {shown(held)}. Check the dotted name."
            ])  # fmt: skip
        inner[key] = copy.copy(held)
        inner = inner[key]
    inner[_key(inner, last, dotted)] = copy.deepcopy(value)
    return changed


def _key(inner: dict[str, Any] | list[Any], name: str, dotted: str) -> str | int:
    """The key of a name in a table, or its index in a list."""
    if isinstance(inner, dict):
        return name
    if re.fullmatch("[0-9]{1,9}", name) and int(name) < len(inner):
        return int(name)
    raise StudyError([
        f"`{clipped(dotted)}`: expected an index into a list of {len(inner):,}, where 0 is the first, "
        f"got {shown(name)}. Check the dotted name."
    ])  # fmt: skip


def names_in(dotted: str) -> list[str]:
    """The single names of a dotted name, of which some may be in quotes.

    >>> names_in('sweep."model.width"')
    ['sweep', 'model.width']
    """
    if '"' not in dotted:
        return dotted.split(".")
    try:
        if not re.fullmatch(DOTTED, dotted):
            raise ValueError(dotted)
        table: Any = tomllib.loads(f"{dotted} = 0")
    except ValueError as error:
        raise StudyError([
            f"`{clipped(dotted)}`: expected a dotted name, of which parts may be in quotes. Write for instance "
            'sweep."model.width".'
        ]) from error  # fmt: skip
    names = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        names.append(name)
    return names
