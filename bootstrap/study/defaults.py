"""The defaults of a study's settings by dotted name, and a study without the settings that are at theirs."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Kind
from deepboot.bootstrap.study.schema import CHOICES, ModelScales, Study, Training

ALWAYS_THERE = ("data", "training", "schedule", "evaluation", "keep")  # tables that every study has, given or not
CHOOSING = ("name", "rule")  # keys that say whose settings the others of a table are
WORLD = "training.world"
Tables = Mapping[str, Any]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The values of nested tables, and of lists of tables, by dotted name; without those that are None.

    >>> flat({"optimizer": {"lr": 0.1}, "transforms": [{"norm": 1}], "layers": {"blocks.0": {"lr": 0}}})
    {'optimizer.lr': 0.1, 'transforms.0.norm': 1, 'layers."blocks.0".lr': 0}
    """
    if isinstance(value, Mapping):
        parts = {f'"{key}"' if "." in key else key: inner for key, inner in value.items()}
    elif isinstance(value, list) and value and all(isinstance(inner, Mapping) for inner in value):
        parts = {str(index): inner for index, inner in enumerate(value)}
    else:
        return {} if value is None else {name: value}
    return {
        dotted: held for key, inner in parts.items()
        for dotted, held in flat(inner, f"{name}.{key}" if name else key).items()
    }  # fmt: skip


def defaults(study: Tables) -> dict[str, Any]:
    """Defaults by dotted name: of the tables that every study has, and of the registered things that this one chooses.

    What is not registered here, as a plugin that is not loaded, and what a study need not have, as probes, has none.
    """
    tables = _by_table(study)
    return {dotted: value for table in tables for dotted, value in flat(tables[table], table).items()}


def without_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """The study without the settings that are at their default: it has the same runs."""
    setting = [*raw.get("phases", []), *(raw.get("settings") or [])]
    changing = [*raw.get("sweep", {}), *(name for each in setting for name in each["set"])]
    open_tables = [name for name, _, _ in _choices(raw) if any(_chooses(dotted, name) for dotted in changing)]
    return _pruned(raw, {name: values for name, values in _by_table(raw).items() if name not in open_tables})


def _by_table(study: Tables) -> dict[str, dict[str, Any]]:
    """Defaults of the settings of every table, which is "" for the study itself."""
    known = {"": _of_schema(Study), WORLD: _of_schema(Training)["world"]}
    known |= {name: _of_schema(Study.model_fields[name].annotation) for name in ALWAYS_THERE}
    known["loss"] = known[""]["loss"]
    for name, kind, chosen in _choices(study):
        common = _of_schema(ModelScales) if kind == "model" else {}
        known[name] = {**known.get(name, {}), **_of_entry(kind, chosen), **common}
    return known


def _choices(study: Tables) -> Iterator[tuple[str, Kind, Any]]:
    """The table, the kind and the name of everything registered that every study chooses."""
    for kind in CHOICES:
        yield kind, kind, _table(study, kind).get("name", "cross_entropy" if kind == "loss" else None)
    yield WORLD, "rule", _table(_table(study, "training"), "world").get("rule", "real")


def _table(tables: Tables, name: str) -> Tables:
    table = tables.get(name)
    return table if isinstance(table, Mapping) else {}


def _of_entry(kind: Kind, name: Any) -> dict[str, Any]:
    """Defaults of a registered thing; none where nothing is chosen, or it is not registered, as without torch."""
    if name is None:
        return {}
    try:
        return _of_schema(registry.settings(kind, name))
    except ValueError:
        return {}


def _of_schema(schema: Any) -> dict[str, Any]:
    return {
        name: to_jsonable_python(field.get_default(call_default_factory=True), exclude_none=True)
        for name, field in schema.model_fields.items()
        if not field.is_required()
    }


def _chooses(dotted: str, table: str) -> bool:
    """Whether the setting with this name decides what a table chooses: the table, one around it, or the name in it."""
    return f"{table}.".startswith(f"{dotted}.") or dotted in [f"{table}.{key}" for key in CHOOSING]


def _pruned(tables: Tables, known: Mapping[str, Tables], own: str = "") -> dict[str, Any]:
    """Tables without values that are at their default, and without known tables of which nothing is left.

    Args:
        known: defaults by table.
        own: name of the table itself.
    """
    kept: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{own}.{key}".lstrip(".")
        inner = _pruned(value, known, name) if name in known else value
        at_default = not inner if name in known else key in known[own] and value == known[own][key]
        if not at_default:
            kept[key] = inner
    named = {key: tables[key] for key in CHOOSING if key in tables}
    return named | kept if kept else {}
