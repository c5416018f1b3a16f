"""What is wrong with a study, in sentences: where, what was expected, what came, what to do."""

from typing import Any

from bootstrap.registry import Settings, suggestion


class StudyError(ValueError):
    """A study cannot be run as it stands; ``problems`` holds one sentence per mistake."""

    def __init__(self, problems: list[str]):
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def sentence(detail: Any, place: str, schema: type[Settings]) -> str:
    """One sentence for one of pydantic's errors: where, what was expected, what came, what to do."""
    parts = [str(part) for part in detail["loc"] if not _is_union_branch(part)]
    path = ".".join([*([place] if place else []), *parts])
    where = f"`{path or 'study'}`"
    got, kind, context = detail["input"], detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_model_at(schema, parts[:-1]).model_fields)
        return f"{where}: unknown key. {suggestion(parts[-1], known)}"
    if kind == "missing":
        return f"{where}: expected a value, but the key is missing. Add it."
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        sign = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below"}.get(kind, "at most")
        limit = next(iter(context.values()))
        cure = f"Did you mean {got / 100:g}?" if limit == 1 and 1 < got <= 100 else "Change it."
        return f"{where}: expected a number {sign} {limit:g}, got {got:g}. {cure}"
    if kind == "too_short":
        return f"{where}: expected at least one value, got an empty list. Add one or remove the key."
    if kind == "literal_error":
        return f"{where}: expected {context['expected']}, got {got!r}. Choose one of these."
    return f"{where}: expected {_expected(detail)}, got {got!r}. Change its type or value."


def _expected(detail: Any) -> str:
    names = {
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
        "string_type": "text", "bool_type": "true or false", "list_type": "a list",
        "dict_type": "a table", "model_type": "a table", "tuple_type": "a list",
    }  # fmt: skip
    return names.get(detail["type"], detail["msg"][0].lower() + detail["msg"][1:])


def _is_union_branch(part: int | str) -> bool:
    """Whether a part of a location names a branch of a union and not a key of the file."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "constrained-int", "constrained-float"))


def _model_at(schema: type[Settings], path: list[str]) -> type[Settings]:
    for part in path:
        inner = schema.model_fields[part].annotation if part in schema.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            return schema
        schema = inner
    return schema
