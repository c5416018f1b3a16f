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
        return [f"`{place}`: expected a whole number of at most 2^53, got one of {value.bit_length()} bits. Lower it."]
    if not isinstance(value, str | int | float | bool | None):
        return [f"`{place}`: expected text, a number, a list or a table, got {value}. Put it in quotes."]
    return []


def sentences(error: ValidationError, raw: Any, place: str, schema: type[Settings]) -> list[str]:
    """One sentence per mistake: where, what was expected, what came, what to do.

    Where several types are allowed, pydantic reports a mistake per type; they become one sentence.
    """
    by_place: dict[str, list[Any]] = {}
    for detail in error.errors():
        by_place.setdefault(_path(detail["loc"], raw, place), []).append(detail)
    return [_sentence(path or "study", details, schema) for path, details in by_place.items()]


def _path(loc: tuple[int | str, ...], raw: Any, place: str) -> str:
    """The dotted name of a location, without the branches of a union that pydantic puts between."""
    path, here = place, raw
    for depth, part in enumerate(loc):
        last = depth == len(loc) - 1
        if isinstance(here, dict) and (part in here or (last and isinstance(part, str))):
            path, here = f"{path}.{part}".lstrip("."), here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
    return path


def _sentence(path: str, details: list[Any], schema: type[Settings]) -> str:
    specific = [detail for detail in details if not detail["type"].endswith(("_type", "literal_error"))] or details
    detail = specific[0]
    where, got, kind, context = f"`{path}`", detail["input"], detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        *_, last = detail["loc"]
        return (
            f"{where}: unknown key. {suggestion(str(last), sorted(_model_at(schema, detail['loc'][:-1]).model_fields))}"
        )
    if kind == "missing":
        return f"{where}: expected a value, but the key is missing. Add it."
    if kind in SIGNS:
        limit = next(iter(context.values()))
        cure = f"Did you mean {got / 100:g}?" if limit == 1 and 2 <= got <= 100 else "Change it."  # a per cent?
        return f"{where}: expected a number {SIGNS[kind]} {limit:g}, got {got:g}. {cure}"
    if kind == "too_short" and not got:
        return f"{where}: expected at least one value, got an empty list. Add one or remove the key."
    if kind == "literal_error" and len(details) == 1:
        return f"{where}: expected {context['expected']}, got {got!r}. Choose one of these."
    expected = " or ".join(dict.fromkeys(_expected(each) for each in specific))
    return f"{where}: expected {expected}, got {got!r}. Change its type or value."


def _expected(detail: Any) -> str:
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    return NAMES.get(detail["type"], detail["msg"][0].lower() + detail["msg"][1:])


def _model_at(schema: type[Settings], path: list[int | str]) -> type[Settings]:
    for part in path:
        inner = schema.model_fields[str(part)].annotation if str(part) in schema.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            return schema
        schema = inner
    return schema
