"""Finding a study by file or shipped name, and applying ``--scale`` and ``--set`` to it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from deepboot.bootstrap import registry
from deepboot.bootstrap.files import read_study
from deepboot.bootstrap.study.defaults import without_defaults
from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.messages import StudyError, key_of, not_about
from deepboot.bootstrap.study.parse import parse
from deepboot.bootstrap.study.paths import path_of
from deepboot.bootstrap.study.points import points
from deepboot.bootstrap.study.schema import MEASURED
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import DATA_PATHS
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.runners import builtins
from deepboot.runners.shipped import shipped

LIST = re.compile(r"^(?P<key>.* = )\[\n(?P<values>(?: +[^\n\[{]+,\n)+)\]$", re.MULTILINE)  # as tomli_w writes one
LONGEST_LINE = 100


def find(study: str | Path) -> Path:
    """The file of a study given by path or shipped name.

    Raises:
        StudyError: there is no such file or name.
    """
    path = path_of(study, "STUDY")
    if path.is_dir() and (path / "study.toml").exists():
        read_study(path / "study.toml")  # a damaged file is refused with its cure
        return path / "study.toml"
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise StudyError([f"study file {path} does not exist. Check the path, or see `deepboot list studies`."])
        return path
    known = shipped()
    if str(study) not in known:
        raise StudyError([f"unknown study {shown(str(study))}. {suggestion(str(study), sorted(known))}"])
    return known[str(study)]


def load(study: str | Path, *, scale: str | None = None, changes: list[str] | None = None) -> dict[str, Any]:
    """A study's raw tables with a scale and single values applied, its plugins loaded.

    Args:
        study: path or shipped name.
        scale: name of one of its ``[scale.*]`` tables.
        changes: "dotted.key=value" each; the value is TOML, or text if it is not.

    Raises:
        StudyError: missing, not TOML, unknown scale, a change that is no assignment, or no such plugin; together with
            everything else that is wrong with the study.
    """
    path = find(study)
    raw, problems = _at_scale(_raw_tables(path), scale)
    raw, more = with_absolute_paths(raw, Path() if path in shipped().values() else path.parent)
    problems += more
    for change in changes or []:
        try:
            raw = _with_change(raw, change)
        except StudyError as error:
            problems += error.problems
    raw, more = with_absolute_paths(raw, Path())
    loaded, failed = _load_plugins(raw.get("plugins", []), path.parent)
    raw["plugins"] = loaded
    problems += more + failed
    if problems:
        raise StudyError(problems + _other_problems(raw, problems, is_plugin_missing=bool(failed)))
    return raw


def _raw_tables(path: Path) -> dict[str, Any]:
    """The tables of a study file, as TOML has them."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise StudyError([f"study file {path} holds lists in lists, too many for TOML. Mend it."]) from error
    except ValueError as error:  # no TOML, no UTF-8, or an integer of thousands of digits
        raise StudyError([
            f"study file {path} is not valid TOML: {str(error).rstrip('.')}. Mend the line it names."
        ]) from error  # fmt: skip
    except OSError as error:
        raise StudyError([f"study file {path} cannot be read: {error.strerror}. Check its permissions."]) from error


def _other_problems(raw: dict[str, Any], problems: list[str], *, is_plugin_missing: bool) -> list[str]:
    """Problems of a study beside these; a name that is not known may be that of a plugin that failed to load."""
    builtins.load()
    try:
        runs_of(raw)
    except StudyError as error:
        others = not_about(error.problems, filter(None, map(key_of, problems)))
        return [
            text for text in others if not (is_plugin_missing and key_of(text).endswith((".name", ".rule", ".kind")))
        ]
    return []


def with_absolute_paths(raw: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The study with absolute paths of its recorded data, and what is wrong with these paths.

    Args:
        folder: what paths are relative to that do not begin with ``/`` or ``~``.
    """
    task = raw.get("task")
    if not isinstance(task, dict):
        return raw, []
    absolute, problems = {}, []
    for name in DATA_PATHS:
        if isinstance(task.get(name), str):
            try:
                absolute[name] = str((folder / path_of(task[name], f"task.{name}", folder)).resolve())
            except StudyError as error:
                problems += error.problems
    return {**raw, "task": task | absolute}, problems


def _at_scale(raw: dict[str, Any], scale: str | None) -> tuple[dict[str, Any], list[str]]:
    """The study at one of its scales, and what is wrong with that."""
    scales = raw.get("scale", {})
    if scale is None or not isinstance(scales, dict):
        return raw, []
    rest = {key: value for key, value in raw.items() if key != "scale"}
    if scale not in scales:
        return rest, [f"--scale: this study has no scale {shown(scale)}. {suggestion(scale, sorted(scales))}"]
    values, problems = scales[scale], []
    if not isinstance(values, dict):
        return rest, [f"`scale.{scale}`: expected a table, got {shown(values)}. Change its type or value."]
    for dotted, value in values.items():
        try:
            rest = _with_value(rest, dotted, value)
        except StudyError as error:
            problems += error.problems
    return rest, problems


def _with_change(raw: dict[str, Any], change: str) -> dict[str, Any]:
    """The study after one ``--set``."""
    dotted, sign, text = change.partition("=")
    if not sign or not dotted.strip():
        raise StudyError([f"--set {shown(change)}: expected key=value. Write for instance --set training.seeds=2."])
    return _with_value(raw, dotted.strip(), toml_value(text.strip()))


def _with_value(raw: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """The study with one value replaced, and without a sweep over it."""
    sweep, together = raw.get("sweep"), raw.get("settings")
    entries = together if isinstance(together, list) else []
    setting = [number for number, entry in enumerate(entries) if dotted in entry.get("set", {})]
    if setting:
        tables = " and ".join(f"settings[{number}].set" for number in setting)
        own = " or ".join(f"'settings.{number}.set.\"{dotted}\"'" for number in setting)
        raise StudyError([
            f"`{dotted}`: expected a setting that `settings` leaves alone, got one of {tables}. Change it there, in "
            f"the file or by its own name: {own}."
        ])  # fmt: skip
    if isinstance(sweep, dict) and dotted in sweep:
        raw = {**raw, "sweep": {key: values for key, values in sweep.items() if key != dotted}}
    return with_value(raw, dotted, value)


def toml_value(text: str) -> Any:
    """The value of a text as TOML, or the text itself if it is not TOML.

    >>> toml_value("[0.1, 1]"), toml_value("true"), toml_value("sgd")
    ([0.1, 1], True, 'sgd')
    """
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tables["value"] if list(tables) == ["value"] else text


def _load_plugins(plugins: Any, folder: Path) -> tuple[Any, list[str]]:
    """The absolute paths of the study's plugins, after they have been loaded, and what failed.

    Args:
        folder: that of the study, to which paths may be relative.
    """
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        return [], [f'`plugins`: expected a list of paths, got {shown(plugins)}. Write plugins = ["my_task.py"].']
    paths, problems = [], []
    for name in plugins:
        try:
            path = (folder / path_of(name, "plugins", folder)).resolve()
            registry.load_plugin(path)
            paths.append(str(path))
        except StudyError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"`plugins`: {error}")
    return paths, problems


def resolved(raw: dict[str, Any]) -> dict[str, Any]:
    """The study with all defaults, as ``study.toml`` keeps it: running that file runs the same runs."""
    full = parse(points(raw)[0]).model_dump(mode="json", exclude={"scale", *MEASURED})
    return {**_without_none(full), "sweep": raw.get("sweep", {})}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def to_toml(study: dict[str, Any]) -> bytes:
    """A resolved study as TOML."""
    return tomli_w.dumps(study).encode()


def concise(raw: dict[str, Any]) -> str:
    """A study as TOML for a reader, without its scales, what these showed and what is at its default: the same runs."""
    kept = {key: value for key, value in raw.items() if key not in ("scale", *MEASURED)}
    text = tomli_w.dumps(without_defaults(kept))
    return LIST.sub(_on_one_line, text)


def _on_one_line(found: re.Match[str]) -> str:
    """A list that was written with a line for each value, on one line if it fits."""
    line = f"{found['key']}[{', '.join(value.strip().removesuffix(',') for value in found['values'].splitlines())}]"
    return line if len(line) <= LONGEST_LINE else found[0]
