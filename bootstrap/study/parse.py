"""From a study's raw tables to the study: names are looked up, defaults filled in, and all mistakes found at once."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Kind, Settings
from deepboot.bootstrap.study.constructed import start_problems
from deepboot.bootstrap.study.messages import (
    StudyError,
    key_of,
    not_about,
    table_of,
    unwritable_problems,
    validation_problems,
    without_unwritable,
)
from deepboot.bootstrap.study.schema import (
    CHOICES,
    PUBLISHED_AS,
    Chosen,
    ClaimCommon,
    ModelScales,
    ProbeCommon,
    Published,
    Study,
)
from deepboot.bootstrap.study.tuning import tuning_problems
from deepboot.bootstrap.wording import shown, with_article

STAND_INS: dict[str, Any] = {  # valid values of the tables that every study needs, for where they are faulty
    "question": "?", "task": {}, "model": {}, "optimizer": {},
    "training": {"train_size": 1, "batch_size": 1, "max_steps": 1, "seeds": 1},
}  # fmt: skip


def parse(raw: dict[str, Any]) -> Study:
    """The study with every name looked up and every default filled in.

    Raises:
        StudyError: all that is wrong with it, at once.
    """
    study, _, problems = read(raw)
    if problems:
        raise StudyError(problems)
    return study


def read(raw: dict[str, Any]) -> tuple[Study, set[str], list[str]]:
    """A study as far as it can be read.

    Returns:
        The study, with stand-ins for its faulty tables; the names of these tables; all problems.
    """
    problems = unwritable_problems(raw)
    unwritable_keys = [key_of(problem) for problem in problems]
    raw = without_unwritable(raw) if problems else raw
    more: list[str] = []
    study = _validated(Study, raw, "", more)
    choices = raw if study is None else study.model_dump()
    resolved: dict[str, Any] = {
        kind: _choice(kind, choices[kind], kind, "name", more) for kind in CHOICES if kind in choices
    }
    training = choices.get("training")
    chosen_in_training = _choices_in_training(training if isinstance(training, dict) else {}, more)
    start = choices.get("start")
    construct = start.get("construction") if isinstance(start, dict) else None
    if construct is not None:
        construct = _choice("construction", construct, "start.construction", "name", more)
    probes = choices.get("probes")
    if isinstance(probes, dict):
        found = {name: _probe(name, settings, more) for name, settings in probes.items()}
        resolved["probes"] = {name: settings for name, settings in found.items() if settings is not None}
    claims = choices.get("claims")
    for number, claim in enumerate(claims if isinstance(claims, list) else []):
        _claim(claim, f"claims[{number}]", more)
    published = choices.get("published")
    for number, entry in enumerate(published if isinstance(published, list) else []):
        _published(entry, f"published[{number}]", more)
    problems += not_about(more, unwritable_keys)
    faulty = {table_of(problem) for problem in problems}
    if study is None:
        faulty |= {name for name in STAND_INS if name not in raw}
        study = _stand_in(raw, faulty)
    contradictions = _contradiction_problems(study, faulty)
    faulty |= {table_of(problem) for problem in contradictions}
    if chosen_in_training["world"] is not None:
        resolved["training"] = study.training.model_copy(update=chosen_in_training)
    if construct is not None and study.start is not None:
        resolved["start"] = study.start.model_copy(update={"construction": construct})
    sound = {name: value for name, value in resolved.items() if name not in faulty}
    return study.model_copy(update=sound), faulty, problems + contradictions


def _choices_in_training(training: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """World, penalty and transforms with all their settings filled in; None for each that fails, or is not there."""
    world, penalty, transforms = (training.get(name) for name in ("world", "penalty", "transforms"))
    return {
        "world": _choice("rule", world, "training.world", "rule", problems) if world is not None else None,
        "penalty": _choice("penalty", penalty, "training.penalty", "name", problems) if penalty is not None else None,
        "transforms": [
            _choice("transform", transform, f"training.transforms[{index}]", "name", problems)
            for index, transform in enumerate(transforms if isinstance(transforms, list) else [])
        ],
    }


def _stand_in(raw: dict[str, Any], faulty: set[str]) -> Study:
    """The study with ``STAND_INS`` for its faulty tables."""
    sound = {name: raw[name] for name in Study.model_fields if name in raw and name not in faulty}
    study: Study = _validated(Study, STAND_INS | sound, "", [])
    return study


def chosen(kind: Kind, raw: dict[str, Any]) -> Chosen:
    """One registered name with all its settings filled in.

    Raises:
        StudyError: all that is wrong with it.
    """
    problems: list[str] = []
    choice = _choice(kind, raw, kind, "name", problems)
    if choice is None:
        raise StudyError(problems)
    return choice


def _validated(schema: type[Settings], raw: Any, key: str, problems: list[str]) -> Any:
    """The raw value as this schema; None where it is no such thing, and the reasons are added to the problems."""
    try:
        return schema.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        problems += validation_problems(error, raw, key, schema)
    return None


def _choice(kind: Kind, raw: Any, key: str, name_key: str, problems: list[str]) -> Chosen | None:
    """A registered name with its settings filled in; None where that fails, and the reasons are added to the problems.

    Args:
        raw: the table with the name and its settings.
        key: the table's dotted name in the study.
        name_key: the key of the name inside the table.
    """
    if not isinstance(raw, dict):
        return None  # the study's own schema has already reported it
    name = raw.get(name_key)
    if not isinstance(name, str):
        problems.append(f"`{key}.{name_key}`: expected the name of {with_article(kind)}, got {shown(name)}. "
                        f"Known: {', '.join(registry.names(kind))}.")  # fmt: skip
        return None
    try:
        schema = registry.settings(kind, name)
    except ValueError as error:
        problems.append(f"`{key}.{name_key}`: {error}")
        return None
    common: type[Settings] = ModelScales if kind == "model" else Settings
    given = {setting: value for setting, value in raw.items() if setting != name_key}
    settings = _filled_in(schema, common, given, key, name, problems)
    return None if settings is None else {name_key: name, **settings}


def _probe(name: str, raw: Any, problems: list[str]) -> dict[str, Any] | None:
    """The settings of a probe, filled in; None where that fails, and the reasons are added to the problems."""
    try:
        schema = registry.settings("probe", name)
    except ValueError as error:
        problems.append(f"`probes.{name}`: {error}")
        return None
    return _filled_in(schema, ProbeCommon, raw, f"probes.{name}", name, problems) if isinstance(raw, dict) else None


def _filled_in(
    schema: type[Settings], common: type[Settings], raw: dict[str, Any], key: str, name: str, problems: list[str]
) -> dict[str, Any] | None:
    """The settings of something registered, its own and then those that all of its kind have, with their defaults.

    None where they cannot be had; the reasons are added to the problems.
    """
    raw_common = {name: value for name, value in raw.items() if name in common.model_fields}
    raw_own = {name: value for name, value in raw.items() if name not in raw_common}
    own, shared = _validated(schema, raw_own, key, problems), _validated(common, raw_common, key, problems)
    if own is None or shared is None:
        return None
    try:
        return {**own.model_dump(mode="json", warnings="error"), **shared.model_dump()}
    except PydanticSerializationError as error:
        reason = str(error).split("\n")[-1].strip().rstrip(".")
        problems.append(f"`{key}`: a default of {name!r} is no value that a study can give: {reason}. "
                        "Mend it where it is defined.")  # fmt: skip
    return None


def _claim(raw: Any, key: str, problems: list[str]) -> None:
    """Add the problems of a claim."""
    if not isinstance(raw, dict):
        return
    common = {name: value for name, value in raw.items() if name in ClaimCommon.model_fields}
    _validated(ClaimCommon, common, key, problems)
    specific = {name: value for name, value in raw.items() if name not in common}
    if "kind" in raw:
        _choice("claim", {"kind": raw["kind"], **specific}, key, "kind", problems)


def settings_problems(kind: Kind, name: str, raw: dict[str, Any], key: str) -> list[str]:
    """Problems of the settings of a registered name, which stand at this dotted key of the study."""
    problems: list[str] = []
    _validated(registry.settings(kind, name), raw, key, problems)
    return problems


def _published(raw: Any, key: str, problems: list[str]) -> None:
    """Add the problems of a published number; whether the settings of its kind fit is seen beside the runs."""
    if not isinstance(raw, dict):
        return
    entry = _validated(
        Published, {name: value for name, value in raw.items() if name in Published.model_fields}, key, problems
    )
    if entry is None:
        return
    try:
        registry.find("claim", entry.quantity)
    except ValueError as error:
        problems.append(f"`{key}.quantity`: {error}")
    given = [name for name in PUBLISHED_AS if raw.get(name) is not None]
    if len(given) != 1:
        problems.append(
            f"`{key}.{given[0] if given else PUBLISHED_AS[0]}`: expected exactly one of {', '.join(PUBLISHED_AS)}, "
            f"got {' and '.join(given) or 'none'}. {'Keep one' if given else 'Give one'} of them."
        )
    if entry.range is not None and entry.range[0] > entry.range[1]:
        problems.append(
            f"`{key}.range`: expected its lower end before its upper end, got {entry.range}. Exchange them."
        )
    if entry.ours and not entry.command:
        problems.append(f"`{key}.command`: expected the command that measured `ours`, but the key is missing. Add it.")


def _contradiction_problems(study: Study, faulty: set[str]) -> list[str]:
    """Problems of several keys together, in tables that are not faulty already."""
    training, problems = study.training, []
    if not study.question.strip():
        problems.append(f"`question`: expected a question, got {study.question!r}. Write down what the study asks.")
    if (training.train_size is None) == (training.train_fraction is None):
        problems.append(
            "`training`: expected exactly one of train_size and train_fraction, "
            f"got {'neither' if training.train_size is None else 'both'}. Give the pool one of the two."
        )
    for key in ("train_size", "train_fraction", "seeds"):
        values = getattr(training, key)
        if isinstance(values, list) and not values:
            problems.append(f"`training.{key}`: expected at least one value, got an empty list. Add one.")
        elif isinstance(values, list) and len(set(values)) < len(values):
            problems.append(
                f"`training.{key}`: expected different values, got {shown(values)}. Remove the repeated ones."
            )
    if isinstance(study.evaluation.schedule, list) and not study.evaluation.schedule:
        problems.append('`evaluation.schedule`: expected at least one step, got an empty list. Add one, or use "log".')
    problems += start_problems(study.start)
    problems += tuning_problems(study) if faulty.isdisjoint(("training", "tune")) else []
    return [problem for problem in problems if table_of(problem) not in faulty]
