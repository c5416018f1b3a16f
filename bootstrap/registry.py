"""One decorator that gives a task, model, optimizer, loss, penalty and so on its name in a study.

An entry's settings are the keyword-only parameters of the decorated function or class: their
annotations are its types and limits, their defaults its defaults. Nothing else has to be written
for a study to validate them, list them and suggest the nearest name for a misspelt one.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from deepboot.bootstrap import plugins
from deepboot.bootstrap.wording import reason, shown, suggestion

Kind = Literal[
    "task", "model", "optimizer", "loss", "penalty", "transform", "construction", "rule", "probe", "claim"
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
Target = TypeVar("Target", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """A registered task, model, optimizer, loss, penalty, transform, construction, index rule, probe or kind of claim.

    Attributes:
        target: the function or class.
        source: the hash of a plugin's file and of the helpers that it imports; None for one of the package itself.
        file: the file that defines it.
    """

    kind: Kind
    name: str
    target: Callable[..., Any]
    source: str | None
    file: str = field(default="", compare=False)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.target) or "").split("\n", 1)[0]

    @property
    def version(self) -> str | None:
        """Its attribute ``version``, which its author changes with all that no hash covers; None if it has none."""
        version = getattr(self.target, "version", None)
        return str(version) if isinstance(version, int | str) else None


class Settings(BaseModel):
    """Base of every settings schema: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Later:
    """Mark of a setting that came after the first release, beside its type in ``Annotated``.

    At its default it is left out of the identity of runs, so that those of before keep theirs.
    """


LATER = Later()


def later_defaults(schema: type[Settings], values: Mapping[str, Any]) -> list[str]:
    """Names of later settings that have their default among these values.

    Args:
        schema: of the settings.
        values: by name.
    """
    return [name for name, default in _later(schema).items() if name in values and values[name] == default]


@cache  # asked of every run, and pydantic reads the signature of a factory each time
def _later(schema: type[Settings]) -> dict[str, Any]:
    """Later settings of a schema with their defaults."""
    return {
        name: field_.get_default(call_default_factory=True)
        for name, field_ in schema.model_fields.items()
        if any(isinstance(mark, Later) for mark in field_.metadata)
    }


_entries: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}
_plugins: dict[Path, tuple[plugins.Plugin, list[Entry]]] = {}  # with the entries that each has registered
_loading: ContextVar[list[Entry] | None] = ContextVar("_loading", default=None)


def register(kind: Kind, name: str) -> Callable[[Target], Target]:
    """Decorator that makes a function or class known to studies as ``name``.

    Its attribute ``version``, if it has one, is part of the identity of the runs that use it, as is the source of a
    plugin. Change it with all that the source does not show: files of data, and imports inside a function.

    Raises:
        ValueError: another function or class already has this name.
    """

    def decorate(target: Target) -> Target:
        known, entry = _entries[kind].get(name), Entry(kind, name, target, None, _file(target))
        if known is not None and not _is_again(known, entry):
            raise ValueError(
                f"{kind} name {name!r} is taken by {known.target.__module__}.{known.target.__qualname__}, "
                f"and {target.__module__}.{target.__qualname__} asks for it too. Choose another name."
            )
        _entries[kind][name] = entry
        registered = _loading.get()
        if registered is not None:
            registered.append(entry)
        return target

    return decorate


def _file(target: Callable[..., Any]) -> str:
    """The file that defines a function or class, or its module where there is none, as in a notebook."""
    try:
        return inspect.getfile(target)
    except (TypeError, OSError):
        return target.__module__


def _is_again(known: Entry, entry: Entry) -> bool:
    """Whether both are the same definition, at most edited and loaded again, or a copy of the same plugin."""
    if known.target.__qualname__ != entry.target.__qualname__:
        return False
    return known.file == entry.file or (
        known.source is not None and _content(known.file) == _content(entry.file) != b""
    )


def _content(file: str) -> bytes:
    return Path(file).read_bytes() if Path(file).is_file() else b""


def names(kind: Kind) -> list[str]:
    """All registered names of one kind, sorted."""
    return sorted(_entries[kind])


def find(kind: Kind, name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none; the message has the nearest name and all known ones.
    """
    if name not in _entries[kind]:
        raise ValueError(f"unknown {kind} {shown(name)}. {suggestion(name, names(kind))}")
    return _entries[kind][name]


@cache
def _schema(target: Callable[..., Any], name: str) -> type[Settings]:
    """Schema of the keyword-only parameters of a function or class."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is evaluated, and may raise anything
        raise ValueError(
            f"the types of the settings of {name!r} cannot be read: {error}. "
            f"Import or define them where {target.__qualname__} is defined."
        ) from error
    factories = {
        field_.name: Field(default_factory=field_.default_factory)
        for field_ in _fields(target)
        if field_.default_factory is not dataclasses.MISSING
    }
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.name not in hints:
            raise ValueError(
                f"setting {parameter.name!r} of {name!r} has no type. "
                f"Annotate it where {target.__qualname__} is defined, for instance `{parameter.name}: float`."
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], factories.get(parameter.name, default))
    try:
        return create_model(name, __base__=Settings, **fields)
    except Exception as error:  # pydantic has several for a type, and a NameError for a name that it reserves
        raise ValueError(_unusable(target, name, fields)) from error


def _fields(target: Callable[..., Any]) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a dataclass, none of anything else."""
    return dataclasses.fields(target) if inspect.isclass(target) and dataclasses.is_dataclass(target) else ()


def _unusable(target: Callable[..., Any], name: str, fields: dict[str, Any]) -> str:
    """The message about the first setting of a type that no study can hold."""
    for setting, field_ in fields.items():
        try:
            create_model(name, __base__=Settings, **{setting: field_})
        except Exception as error:
            message = str(error).split("\n", 1)[0].rstrip(".")
            break
    return (
        f"setting {setting!r} of {name!r} cannot be given by a study: {message}. Give it a plain name and type "
        f"where {target.__qualname__} is defined, for instance `{setting}: float`."
    )


def settings(kind: Kind, name: str) -> type[Settings]:
    """Schema of an entry's settings: its keyword-only parameters.

    Raises:
        ValueError: no such entry.
    """
    return _schema(find(kind, name).target, name)


def _snapshot() -> dict[Kind, dict[str, Entry]]:
    """A copy of all entries that are registered now."""
    return {kind: dict(entries) for kind, entries in _entries.items()}


@contextmanager
def scratch() -> Iterator[None]:
    """Forget at the end everything that is registered inside, and bring back what it replaced."""
    before = _snapshot()
    try:
        yield
    finally:
        _entries.update(before)


def load_plugin(path: Path) -> list[Entry]:
    """The entries of a user's Python file after it has been run, with the hash of its text and of its helpers' texts.

    It is run again when one of these texts has changed.

    Raises:
        ValueError: the file is missing, or running it failed.
    """
    if not path.is_file():
        raise ValueError(f"plugin file {path} does not exist. Give a path relative to the study's folder.")
    if path.suffix != ".py":
        raise ValueError(f"plugin file {path} is not a Python file. Its name must end in .py.")
    if path not in _plugins or not _plugins[path][0].is_current():
        _plugins[path] = _run(path)
    plugin, entries = _plugins[path]
    plugin.activate()
    for entry in entries:
        _entries[entry.kind][entry.name] = entry
    return entries


def _run(path: Path) -> tuple[plugins.Plugin, list[Entry]]:
    """A plugin after it has been run, and the entries that it registered; none of them stays if it fails."""
    before, registered = _snapshot(), list[Entry]()
    token = _loading.set(registered)
    try:
        plugin = plugins.run(path)
    except (Exception, SystemExit) as error:
        _entries.update(before)
        raise ValueError(f"plugin file {path} failed to load: {reason(error, 'Mend the file.')}") from error
    finally:
        _loading.reset(token)
    return plugin, [replace(entry, source=plugin.source) for entry in registered]
