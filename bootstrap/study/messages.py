"""What is wrong with a study, in sentences: where, what was expected, what came, what to do."""

import re
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from deepboot.bootstrap.registry import Settings, clipped, nearest, shown, suggestion

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
SIGNS = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below", "less_than_equal": "at most"}


class StudyError(ValueError):
    """A study cannot be run as it stands; ``problems`` holds one sentence per mistake."""

    def __init__(self, problems: list[str]):
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def place_of(problem: str) -> str:
    """The key that a sentence begins with, "" if it begins with none.

    >>> place_of("`training.seeds[0]`: expected a number at least 0, got -1. Change it.")
    'training.seeds[0]'
    """
    found = re.match("`([^`]*)`", problem)
    return found[1] if found else ""


def table_of(problem: str) -> str:
    """The outermost table that a sentence is about."""
    return re.split(r"[.\[]", place_of(problem), maxsplit=1)[0]


def beside(problems: Iterable[str], places: Iterable[str]) -> list[str]:
    """The sentences that are not about these keys, about what they lie in, or about what lies in them."""
    known = list(places)
    return [text for text in problems if not any(_touch(place_of(text), place) for place in known)]


def _touch(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}["))


def unwritable(value: Any, place: str = "") -> list[str]:
    """Values that no setting can have: dates, times, and numbers that float64 or float32 does not hold."""
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in unwritable(inner, f"{place}.{key}".lstrip("."))]
    if isinstance(value, list | tuple):
        return [text for number, inner in enumerate(value) for text in unwritable(inner, f"{place}[{number}]")]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return [
            f"`{place}`: expected a whole number between -2^53 and 2^53, got one of {value.bit_length()} bits. "
            "Move it into this range."
        ]
    if isinstance(value, float) and LARGEST_NUMBER < abs(value) < float("inf"):
        return [
            f"`{place}`: expected a number between -{LARGEST_NUMBER:.2g} and {LARGEST_NUMBER:.2g}, as float32 holds "
            f"them, got {value!r}. Move it into this range."
        ]
    if not isinstance(value, str | int | float | bool | None):
        return [f"`{place}`: expected text, a number, a list or a table, got {value}. Put it in quotes."]
    return []


def writable(value: Any) -> Any:
    """The value with None for all that is unwritable in it."""
    if isinstance(value, dict):
        return {key: writable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [writable(inner) for inner in value]
    return None if unwritable(value) else value


def sentences(error: ValidationError, raw: Any, place: str, schema: type[Settings]) -> list[str]:
    """One sentence per mistake: where, what was expected, what came, what to do.

    Where several types are allowed, pydantic reports a mistake per type; they become one sentence, about
    what is inside the list or table if that type was meant.
    """
    by_path: dict[tuple[int | str, ...], list[Any]] = {}
    for detail in error.errors():
        if not _told_elsewhere(detail, place):
            by_path.setdefault(_path(detail, raw), []).append(detail)
    found = {
        path: _sentence(_dotted(place, path), details, schema)
        for path, details in by_path.items()
        if not (all(map(_is_of_type, details)) and any(_is_inside(other, path) for other in by_path))
    }
    for path, details in by_path.items():
        meant = _meant(path, details, schema)
        if meant in by_path and by_path[meant][0]["type"] == "missing":  # one mistake: the key is there, misspelt
            found[meant] = found.pop(path)
    return list(found.values())


def _meant(path: tuple[int | str, ...], details: list[Any], schema: type[Settings]) -> tuple[int | str, ...] | None:
    """Where the key lies that an unknown one is taken for; None for any other mistake."""
    if details[0]["type"] != "extra_forbidden":
        return None
    near = nearest(str(path[-1]), _known(details[0], schema))
    return None if near is None else (*path[:-1], near)


def _known(detail: Any, schema: type[Settings]) -> list[str]:
    """The keys of the table that an unknown key lies in."""
    return sorted(_model_at(schema, detail["loc"][:-1]).model_fields)


def _told_elsewhere(detail: Any, place: str) -> bool:
    """Whether it is a claim's kind that is no text, which its look-up by name answers with all known kinds."""
    return place.startswith("claims[") and detail["loc"] == ("kind",) and detail["type"] == "string_type"


def _is_of_type(detail: Any) -> bool:
    """Whether the value is not of the type at all, rather than out of its range."""
    return detail["type"].endswith(("_type", "literal_error"))


def _is_inside(path: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _path(detail: Any, raw: Any) -> tuple[int | str, ...]:
    """The keys and numbers that lead to a mistake, without the branches of a union that pydantic puts between."""
    path: list[int | str] = []
    here, missing = raw, detail["type"] == "missing"
    for depth, part in enumerate(detail["loc"]):
        last = depth == len(detail["loc"]) - 1
        if last and not missing and here == detail["input"]:
            break  # we are there already: this part is a branch
        if isinstance(here, dict) and (part in here or (last and missing)):
            path, here = [*path, part], here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path, here = [*path, part], here[part]
    return tuple(path)


def _dotted(place: str, path: tuple[int | str, ...]) -> str:
    for part in path:
        place = f"{place}[{part}]" if isinstance(part, int) else f"{place}.{clipped(part)}".lstrip(".")
    return place or "study"


def _sentence(path: str, details: list[Any], schema: type[Settings]) -> str:
    specific = [detail for detail in details if not _is_of_type(detail)] or details
    detail = specific[0]
    kind, came, context = detail["type"], detail["input"], detail.get("ctx", {})
    last = detail["loc"][-1] if detail["loc"] else ""
    got, cure = shown(came), "Change its type or value."
    if kind == "extra_forbidden":
        return f"`{path}`: unknown key. {suggestion(str(last), _known(detail, schema))}"
    if kind == "missing" and isinstance(last, str):
        return f"`{path}`: expected a value, but the key is missing. Add it."
    if kind in SIGNS:
        limit = next(iter(context.values()))
        expected, got, cure = f"a number {SIGNS[kind]} {_number(limit)}", _number(came), _cure(kind, limit, came)
    elif kind == "too_short" and not came:
        expected, got, cure = "at least one value", "an empty list", "Add one or remove the key."
    elif kind in ("missing", "too_short"):  # a tuple misses its places, a list is too short
        needed = context.get("min_length") or 1 + max(each["loc"][-1] for each in specific)
        expected, got, cure = f"at least {needed} values", str(len(came)), "Add what is missing."
    elif kind == "too_long":
        expected, got, cure = f"at most {context['max_length']} values", str(len(came)), "Remove what is too much."
    elif kind == "literal_error" and len(details) == 1:
        expected, cure = context["expected"], "Choose one of these."
    else:
        expected = " or ".join(dict.fromkeys(_expected(each) for each in specific))
        cure = "Change it." if kind == "finite_number" else cure
    return f"`{path}`: expected {expected}, got {got}. {cure}"


def _cure(kind: str, limit: float, got: float) -> str:
    """The share that was meant, where a per cent came; a limit of 1 that is an int belongs to a count."""
    share = isinstance(limit, float) and limit == 1 and kind.startswith("less_than")
    largest = 100 if kind == "less_than_equal" else 99
    return f"Did you mean {got / 100:g}?" if share and 2 <= got <= largest and got == int(got) else "Change it."


def _number(value: float) -> str:
    """As a person writes it, and never rounded onto the limit.

    >>> _number(65_536), _number(1.0), _number(1.0000001)
    ('65,536', '1', '1.0000001')
    """
    return f"{value:,}" if isinstance(value, int) else repr(value).removesuffix(".0")


def _expected(detail: Any) -> str:
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    said = str(detail["msg"])
    other = said.removeprefix("Input should be ")
    return NAMES.get(detail["type"], other if other != said else f"another value ({said})")


def _model_at(schema: type[Settings], path: tuple[int | str, ...]) -> type[Settings]:
    """The schema of the table at a path: a key may hold one, a list of them, or nothing in its place."""
    for part in path:
        if str(part) in schema.model_fields:
            schema = _table_in(schema.model_fields[str(part)].annotation) or schema
    return schema


def _table_in(annotation: Any) -> type[Settings] | None:
    """The schema of a table inside an annotation such as ``list[Change]`` or ``Stop | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    if get_origin(annotation) not in (list, Union, UnionType, Annotated):
        return None
    return next((found for found in map(_table_in, get_args(annotation)) if found is not None), None)
