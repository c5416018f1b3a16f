"""What is wrong with a study, in sentences: where, what was expected, what came, what to do."""

from typing import Any

from pydantic import ValidationError

from bootstrap.registry import Settings, suggestion

LARGEST_INTEGER = 1 << 53
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


def unwritable(value: Any, place: str = "") -> list[str]:
    """Values that no setting can have: dates and times, and integers that a float64 does not hold."""
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in unwritable(inner, f"{place}.{key}".lstrip("."))]
    if isinstance(value, list | tuple):
        return [text for number, inner in enumerate(value) for text in unwritable(inner, f"{place}[{number}]")]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return [
            f"`{place}`: expected a whole number between -2^53 and 2^53, got one of {value.bit_length()} bits. "
            "Move it into this range."
        ]
    if not isinstance(value, str | int | float | bool | None):
        return [f"`{place}`: expected text, a number, a list or a table, got {value}. Put it in quotes."]
    return []


def sentences(error: ValidationError, raw: Any, place: str, schema: type[Settings]) -> list[str]:
    """One sentence per mistake: where, what was expected, what came, what to do.

    Where several types are allowed, pydantic reports a mistake per type; they become one sentence, about
    what is inside the list or table if that type was meant.
    """
    by_path: dict[tuple[int | str, ...], list[Any]] = {}
    for detail in error.errors():
        if not _told_elsewhere(detail, place):
            by_path.setdefault(_path(detail, raw), []).append(detail)
    return [
        _sentence(_dotted(place, path), details, schema)
        for path, details in by_path.items()
        if not (all(map(_is_of_type, details)) and any(_is_inside(other, path) for other in by_path))
    ]


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
        place = f"{place}[{part}]" if isinstance(part, int) else f"{place}.{part}".lstrip(".")
    return place or "study"


def _sentence(path: str, details: list[Any], schema: type[Settings]) -> str:
    specific = [detail for detail in details if not _is_of_type(detail)] or details
    detail = specific[0]
    kind, came, context = detail["type"], detail["input"], detail.get("ctx", {})
    last = detail["loc"][-1] if detail["loc"] else ""
    got, cure = repr(came), "Change its type or value."
    if kind == "extra_forbidden":
        known = sorted(_model_at(schema, detail["loc"][:-1]).model_fields)
        return f"`{path}`: unknown key. {suggestion(str(last), known)}"
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
    for part in path:
        inner = schema.model_fields[str(part)].annotation if str(part) in schema.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            return schema
        schema = inner
    return schema
