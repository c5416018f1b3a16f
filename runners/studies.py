"""Finding a study by file or shipped name, and applying ``--scale`` and ``--set`` to it."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from bootstrap import registry
from bootstrap.damage import read_study
from bootstrap.mistakes import StudyError
from bootstrap.registry import suggestion
from bootstrap.study import parse
from bootstrap.sweep import points, with_value
from bootstrap.task import PLACES, expanded


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(resources.files("runners") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(study: str | Path) -> Path:
    """The file of a study given by path or shipped name.

    Raises:
        StudyError: there is no such file or name.
    """
    path = Path(study)
    if path.is_dir() and (path / "study.toml").exists():
        read_study(path / "study.toml")  # damage is told with its cure
        return path / "study.toml"
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise StudyError([f"study file {path} does not exist. Check the path, or see `deepboot list studies`."])
        return path
    known = shipped()
    if str(study) not in known:
        raise StudyError([f"unknown study {str(study)!r}. {suggestion(str(study), sorted(known))}"])
    return known[str(study)]


def load(study: str | Path, *, scale: str | None = None, changes: list[str] | None = None) -> dict[str, Any]:
    """A study's raw tables with a scale and single values applied, its plugins loaded.

    Args:
        study: path or shipped name.
        scale: name of one of its ``[scale.*]`` tables.
        changes: "dotted.key=value" each; the value is TOML, or text if it is not.

    Raises:
        StudyError: missing, not TOML, unknown scale, or a change that is no assignment.
    """
    path = find(study)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError([f"study file {path} is not valid TOML: {error}. Mend the line it names."]) from error
    except OSError as error:
        raise StudyError([f"study file {path} cannot be read: {error.strerror}. Check its permissions."]) from error
    raw = _placed(_scaled(raw, scale), Path() if path in shipped().values() else path.parent)
    for change in changes or []:
        dotted, sign, text = change.partition("=")
        if not sign or not dotted:
            raise StudyError([f"--set {change!r}: expected key=value. Write for instance --set training.seeds=2."])
        raw = _set(raw, dotted.strip(), value(text.strip()))
    raw = _placed(raw, Path())
    raw["plugins"] = _load_plugins(raw.get("plugins", []), path.parent)
    return raw


def _placed(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The study with the place of its recorded data, which may be relative to a folder or to home, made absolute."""
    task = raw.get("task")
    if not isinstance(task, dict):
        return raw
    places = {key: task[key] for key in PLACES if isinstance(task.get(key), str)}
    return {
        **raw,
        "task": task | {key: str((folder / expanded(text)).resolve()) for key, text in places.items()},
    }


def _scaled(raw: dict[str, Any], scale: str | None) -> dict[str, Any]:
    scales = raw.get("scale", {})
    if scale is None or not isinstance(scales, dict):
        return raw
    if scale not in scales:
        raise StudyError([f"--scale: this study has no scale {scale!r}. {suggestion(scale, sorted(scales))}"])
    for dotted, value in scales[scale].items():
        raw = _set(raw, dotted, value)
    return {key: value for key, value in raw.items() if key != "scale"}


def _set(raw: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """The study with one value replaced; a swept key is swept no longer."""
    sweep = raw.get("sweep")
    if isinstance(sweep, dict) and dotted in sweep:
        raw = {**raw, "sweep": {key: values for key, values in sweep.items() if key != dotted}}
    return with_value(raw, dotted, value)


def value(text: str) -> Any:
    """A value written as TOML, or the text itself if it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _load_plugins(plugins: Any, folder: Path) -> list[str]:
    """Load the study's plugins; their paths, which may be relative to its folder, are made absolute."""
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        raise StudyError([f'`plugins`: expected a list of paths, got {plugins!r}. Write plugins = ["my_task.py"].'])
    paths, problems = [], []
    for name in plugins:
        path = (folder / name).resolve()
        try:
            registry.load_plugin(path)
        except ValueError as error:
            problems.append(f"`plugins`: {error}")
        paths.append(str(path))
    if problems:
        raise StudyError(problems)
    return paths


def resolved(raw: dict[str, Any]) -> dict[str, Any]:
    """The study with all defaults, as ``study.toml`` keeps it: running that file runs the same runs."""
    full = parse(points(raw)[0]).model_dump(mode="json", exclude={"scale"})
    return {**_without_none(full), "sweep": raw.get("sweep", {})}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def to_toml(study: dict[str, Any]) -> bytes:
    """A resolved study as TOML."""
    return tomli_w.dumps(study).encode()
