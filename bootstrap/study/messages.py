"""Problems of a study: a problem is one sentence, with where, what was expected, what came, what to do.

Functions whose names end in ``_problems`` return a list of them, empty where nothing is wrong.
"""

import re
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.wording import clipped, nearest, shown, suggestion

LARGEST_INTEGER = 1 << 53  # up to which a float64 holds every one
LARGEST_NUMBER = (2 - 2**-23) * 2.0**127  # of float32, in which models compute
NAMES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "a list",
}
FORMER = {  # settings of earlier versions, with what to write instead
    "training.clip_norm": 'this is a transform now. Write training.transforms = [{ name = "clip", norm = 1.0 }].',
}
SWEPT = ("task.", "model.", "optimizer.", "loss.", "data.", "training.")  # how settings begin that can be swept
LIMITS = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below", "less_than_equal": "at most"}

KeyPath = tuple[int | str, ...]  # the keys and numbers that lead to a value inside nested tables and lists


class StudyError(ValueError):
    """A study cannot be run as it stands; ``problems`` holds all that is wrong with it."""

    def __init__(self, problems: list[str]):
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def key_of(problem: str) -> str:
    """The key that a problem begins with, "" if it begins with none.

    >>> key_of("`training.seeds[0]`: expected a number at least 0, got -1. Change it.")
    'training.seeds[0]'
    """
    match = re.match("`([^`]*)`", problem)
    return match[1] if match else ""


def table_of(problem: str) -> str:
    """The outermost table that a problem is about."""
    return re.split(r"[.\[]", key_of(problem), maxsplit=1)[0]


def not_about(problems: Iterable[str], keys: Iterable[str]) -> list[str]:
    """The problems that are about none of these keys, no table around them and nothing inside them."""
    known = list(keys)
    return [problem for problem in problems if not any(_overlap(key_of(problem), key) for key in known)]


def _overlap(one: str, other: str) -> bool:
    """Whether two keys are equal, or one lies inside the other.

    >>> _overlap("optimizer", "optimizer.lr"), _overlap("data.test_set", "data.test_samples")
    (True, False)
    >>> _overlap("training.transforms[0]", "training.transforms.0.norm")
    True
    """
    shorter, longer = sorted((key.replace("[", ".").replace("]", "") for key in (one, other)), key=len)
    return longer == shorter or longer.startswith(f"{shorter}.")


def unwritable_problems(value: Any, key: str = "") -> list[str]:
    """Problems of values that no setting can have: dates, times, and numbers that float64 or float32 lacks."""
    if isinstance(value, dict):
        tables = [unwritable_problems(inner, f"{key}.{name}".lstrip(".")) for name, inner in value.items()]
        return [problem for problems in tables for problem in problems]
    if isinstance(value, list | tuple):
        items = [unwritable_problems(inner, f"{key}[{number}]") for number, inner in enumerate(value)]
        return [problem for problems in items for problem in problems]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return [
            f"`{key}`: expected a whole number between -2^53 and 2^53, got one of {value.bit_length()} bits. "
            "Move it into this range."
        ]
    if isinstance(value, float) and LARGEST_NUMBER < abs(value) < float("inf"):
        return [
            f"`{key}`: expected a number between -{LARGEST_NUMBER:.2g} and {LARGEST_NUMBER:.2g}, as float32 holds "
            f"them, got {value!r}. Move it into this range."
        ]
    if not isinstance(value, str | int | float | bool | None):
        return [f"`{key}`: expected text, a number, a list or a table, got {value}. Put it in quotes."]
    return []


def without_unwritable(value: Any) -> Any:
    """The value with None in place of everything in it that no setting can have."""
    if isinstance(value, dict):
        return {key: without_unwritable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_unwritable(inner) for inner in value]
    return None if unwritable_problems(value) else value


def validation_problems(error: ValidationError, raw: Any, key: str, schema: type[Settings]) -> list[str]:
    """Problems that pydantic found in a value, one for each key.

    Where several types are allowed, pydantic reports an error per type. They become one sentence; it is about
    the inside of a list or table where that type fits.

    Args:
        raw: the value that was validated.
        key: its dotted name in the study.
    """
    by_path: dict[KeyPath, list[Any]] = {}
    for detail in error.errors():
        if not _is_reported_by_name(detail, key):
            by_path.setdefault(_path(detail, raw), []).append(detail)
    problems = {
        path: _sentence(_dotted(key, path), details, schema)
        for path, details in by_path.items()
        if not (all(map(_is_type_error, details)) and any(_is_inside(other, path) for other in by_path))
    }
    for path, details in by_path.items():
        missing = _nearest_path(path, details, schema)
        if missing in by_path and by_path[missing][0]["type"] == "missing":  # one error: the key is there, misspelt
            problems[missing] = problems.pop(path)
    return list(problems.values())


def _nearest_path(path: KeyPath, details: list[Any], schema: type[Settings]) -> KeyPath | None:
    """The path of the known key that is most like an unknown one; None for any other error."""
    if details[0]["type"] != "extra_forbidden":
        return None
    near = nearest(str(path[-1]), _known_keys(details[0], schema))
    return None if near is None else (*path[:-1], near)


def _known_keys(detail: Any, schema: type[Settings]) -> list[str]:
    """The keys of the table that an unknown key lies in."""
    return sorted(_schema_at(schema, detail["loc"][:-1]).model_fields)


def _is_reported_by_name(detail: Any, key: str) -> bool:
    """Whether it is a claim's kind that is no text: its look-up by name reports that with all known kinds."""
    return key.startswith("claims[") and detail["loc"] == ("kind",) and detail["type"] == "string_type"


def _is_type_error(detail: Any) -> bool:
    """Whether the value is not of the type at all, rather than out of its range."""
    return detail["type"].endswith(("_type", "literal_error"))


def _is_inside(path: KeyPath, outer: KeyPath) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _path(detail: Any, raw: Any) -> KeyPath:
    """The keys and numbers that lead to an error, without the names that pydantic puts between for a union's types."""
    path: list[int | str] = []
    value, missing = raw, detail["type"] == "missing"
    for depth, part in enumerate(detail["loc"]):
        last = depth == len(detail["loc"]) - 1
        if last and not missing and value == detail["input"]:
            break  # the path is complete: this part names a type of the union
        if isinstance(value, dict) and (part in value or (last and missing)):
            path, value = [*path, part], value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = [*path, part], value[part]
    return tuple(path)


def _dotted(key: str, path: KeyPath) -> str:
    """The dotted name of a path below a key."""
    for part in path:
        key = f"{key}[{part}]" if isinstance(part, int) else f"{key}.{clipped(part)}".lstrip(".")
    return key or "study"


def _sentence(key: str, details: list[Any], schema: type[Settings]) -> str:
    """The sentence about one key, from the errors that pydantic has for it."""
    specific = [detail for detail in details if not _is_type_error(detail)] or details
    detail = specific[0]
    kind, came, context = detail["type"], detail["input"], detail.get("ctx", {})
    last = detail["loc"][-1] if detail["loc"] else ""
    got, cure = shown(came), "Change its type or value."
    if kind == "extra_forbidden" and key in FORMER:
        return f"`{key}`: {FORMER[key]}"
    if kind == "extra_forbidden":
        return f"`{key}`: unknown key. {suggestion(str(last), _known_keys(detail, schema))}"
    if kind == "missing" and isinstance(last, str):
        return f"`{key}`: expected a value, but the key is missing. Add it."
    if kind in LIMITS:
        limit = next(iter(context.values()))
        expected, got, cure = f"a number {LIMITS[kind]} {_number(limit)}", _number(came), _cure(kind, limit, came)
    elif kind == "too_short" and not came:
        expected, got, cure = "at least one value", "an empty list", "Add one or remove the key."
    elif kind in ("missing", "too_short"):  # a tuple lacks items, a list is too short
        needed = context.get("min_length") or 1 + max(item["loc"][-1] for item in specific)
        expected, got, cure = f"at least {needed} values", str(len(came)), "Add what is missing."
    elif kind == "too_long":
        expected, got, cure = f"at most {context['max_length']} values", str(len(came)), "Remove what is too much."
    elif kind == "literal_error" and len(details) == 1:
        expected, cure = context["expected"], "Choose one of these."
    else:
        expected = " or ".join(dict.fromkeys(_expected(item) for item in specific))
        cure = "Change it." if kind == "finite_number" else cure
        if isinstance(came, list) and key.startswith(SWEPT) and "[" not in key and expected != NAMES["dict_type"]:
            cure = f'Give one value. To try them all, sweep it: [sweep] and below it "{key}" = {got}.'
    return f"`{key}`: expected {expected}, got {got}. {cure}"


def _cure(kind: str, limit: float, got: float) -> str:
    """The cure of a number beyond its limit; for a share above 1 the guess that it was written in per cent.

    A limit of 1 that is an int belongs to a count.
    """
    share = isinstance(limit, float) and limit == 1 and kind.startswith("less_than")
    largest = 100 if kind == "less_than_equal" else 99
    return f"Did you mean {got / 100:g}?" if share and 2 <= got <= largest and got == int(got) else "Change it."


def _number(value: float) -> str:
    """A number as a person writes it, and never rounded onto the limit.

    >>> _number(65_536), _number(1.0), _number(1.0000001)
    ('65,536', '1', '1.0000001')
    """
    return f"{value:,}" if isinstance(value, int) else repr(value).removesuffix(".0")


def _expected(detail: Any) -> str:
    """The type or values that were expected, in the words of a study."""
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    message = str(detail["msg"])
    expected = message.removeprefix("Input should be ")
    return NAMES.get(detail["type"], expected if expected != message else f"another value ({message})")


def _schema_at(schema: type[Settings], path: tuple[int | str, ...]) -> type[Settings]:
    """The schema of the table at a path, also inside a list of tables or where the key may hold none."""
    for part in path:
        if str(part) in schema.model_fields:
            schema = _table_in(schema.model_fields[str(part)].annotation) or schema
    return schema


def _table_in(annotation: Any) -> type[Settings] | None:
    """The schema of a table inside an annotation such as ``list[Change]`` or ``Stop | None``, or of named tables."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    if get_origin(annotation) not in (list, dict, Union, UnionType, Annotated):
        return None
    return next((table for table in map(_table_in, get_args(annotation)) if table is not None), None)
