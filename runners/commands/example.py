"""An example of an entry as TOML: the tables that a study needs to use it."""

import json
from typing import Any

from deepboot.bootstrap.registry import Kind, settings

PLACES: dict[Kind, tuple[str, str | None]] = {  # where a study names an entry, and the key of its name
    "task": ("task", "name"),
    "model": ("model", "name"),
    "optimizer": ("optimizer", "name"),
    "loss": ("loss", "name"),
    "penalty": ("training.penalty", "name"),
    "transform": ("training.transforms", "name"),
    "construction": ("start.construction", "name"),
    "rule": ("training.world", "rule"),
    "probe": ("probes", None),
    "claim": ("claims", "kind"),
}
LISTS = ("transform", "claim")  # of which a study may have several
REQUIRED: dict[str, Any] = {  # values of settings without a default
    "path": "samples.npz", "root": "data/cifar", "strength": 1e-4, "norm": 1.0, "share": 0.1, "shift": 100,
    "times": 4, "gap": 2, "first": 20, "growth": 10,
    "at_step": 1_000, "metric": "test_error", "over": "train_size", "direction": "falls",
    "of": {"train_size": 100}, "to": {"train_size": 1_000}, "min_ratio": 2.0, "max_share": 0.5,
    "min_tau": 0.5, "max_error": 0.05, "margin": 0.05, "min_difference": 0.05, "classifier": "pair",
    "outcome": "grokking", "beside": ["training.streams.init"],
}  # fmt: skip
BOUNDS: dict[str, dict[str, Any]] = {  # of claims that need one of two bounds, neither of which is required by itself
    "bootstrap_error": {"max": 0.05}, "change": {"max": 0.1}, "crossing": {"min": 1_000},
    "final_difference": {"max": 0.1}, "final_error": {"max": 0.1}, "outcome_profile": {"min_rate": 0.5},
    "power_law": {"max_slope": -1.0}, "rate": {"min_rate": 0.5}, "ratio": {"min_ratio": 2.0},
    "head_start": {"max_ratio": 1.0}, "rebound": {"min_rise": 0.1, "min_rate": 0.5}, "relapse": {"max_rate": 0.25},
    "step": {"max": 1_000}, "threshold": {"max": 1_000}, "variance_share": {"min_share": 0.5},
    "waiting_shape": {"min_shape": 2.0},
}  # fmt: skip
SHOWN = 3  # settings at their default


def example(kind: Kind, name: str) -> str:
    """TOML that uses an entry with what it requires and the first few of its other settings.

    Raises:
        ValueError: no such entry.
    """
    place, key = PLACES[kind]
    given = ({} if key is None else {key: name}) | _values(kind, name)
    head = f"{place}.{name}" if key is None else place
    pairs = [f"{setting} = {toml(value)}" for setting, value in given.items()]
    return "\n".join([f"[[{head}]]" if kind in LISTS else f"[{head}]", *pairs])


def toml(value: Any) -> str:
    """A value as TOML has it, in one line.

    >>> toml({"model.width": [8, 16.0], "training.ideal": False})
    '{ "model.width" = [8, 16.0], "training.ideal" = false }'
    """
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False)


def _values(kind: Kind, name: str) -> dict[str, Any]:
    """Settings of an example."""
    schema = settings(kind, name)
    fields = schema.model_fields
    properties = schema.model_json_schema().get("properties", {})
    needed = {one: REQUIRED.get(one, _any(properties[one])) for one, field in fields.items() if field.is_required()}
    needed |= BOUNDS.get(name, {}) if kind == "claim" else {}
    others = {one: field.get_default(call_default_factory=True) for one, field in fields.items() if one not in needed}
    given = [(one, value) for one, value in others.items() if value is not None]
    return needed | dict(given[:SHOWN])


def _any(allowed: dict[str, Any]) -> Any:
    """A value that a JSON schema allows, for a setting of a plugin that has no default."""
    if "enum" in allowed:
        return allowed["enum"][0]
    if allowed.get("type") in ("integer", "number"):
        return allowed.get("minimum", allowed.get("exclusiveMinimum", 0) + 1)
    return {"boolean": True, "array": [], "object": {}}.get(allowed.get("type", ""), "…")
