"""One decorator that gives a task, model, optimizer, loss, rule or claim its name in a study.

An entry's settings are the keyword-only parameters of the decorated function or class: their
annotations are its types and limits, their defaults its defaults. Nothing else has to be written
for a study to validate them, list them and suggest the nearest name for a misspelt one.
"""

import difflib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

Kind = Literal["task", "model", "optimizer", "loss", "rule", "claim"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Target = TypeVar("Target", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """One registered thing: what builds it, and the hash of its file where a plugin brought it."""

    kind: Kind
    name: str
    target: Callable[..., Any]
    source: str | None

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.target) or "").split("\n", 1)[0]


class Settings(BaseModel):
    """Base of every settings schema: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_entries: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}
_loading: ContextVar[str | None] = ContextVar("_loading", default=None)


def register(kind: Kind, name: str) -> Callable[[Target], Target]:
    """Decorator that makes a function or class known to studies as ``name``.

    Raises:
        ValueError: another function or class already has this name.
    """

    def decorate(target: Target) -> Target:
        known = _entries[kind].get(name)
        if known is not None and not _same_place(known.target, target):
            raise ValueError(
                f"{kind} name {name!r} is taken by {known.target.__module__}.{known.target.__qualname__}, "
                f"and {target.__module__}.{target.__qualname__} asks for it too. Choose another name."
            )
        _entries[kind][name] = Entry(kind, name, target, _loading.get())
        return target

    return decorate


def _same_place(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether both are the same definition, at most edited and loaded again."""
    return one.__qualname__ == other.__qualname__ and inspect.getfile(one) == inspect.getfile(other)


def names(kind: Kind) -> list[str]:
    """All registered names of one kind, sorted."""
    return sorted(_entries[kind])


def find(kind: Kind, name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none; the message has the nearest name and all known ones.
    """
    if name not in _entries[kind]:
        raise ValueError(f"unknown {kind} {name!r}. {suggestion(name, names(kind))}")
    return _entries[kind][name]


def suggestion(word: str, known: list[str]) -> str:
    """A sentence with the known word nearest to this one, and the list of all.

    >>> suggestion("sparse_party", ["digits", "sparse_parity"])
    "Did you mean 'sparse_parity'? Known: digits, sparse_parity."
    """
    near = difflib.get_close_matches(word, known, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(known) or 'none'}."


@cache
def _schema(target: Callable[..., Any], name: str) -> type[Settings]:
    function = target.__init__ if inspect.isclass(target) else target
    hints = get_type_hints(function, include_extras=True)
    keyword_only = [each for each in inspect.signature(target).parameters.values() if each.kind is each.KEYWORD_ONLY]
    for parameter in keyword_only:
        if parameter.name not in hints:
            raise ValueError(
                f"setting {parameter.name!r} of {name!r} has no type. "
                f"Annotate it where {target.__qualname__} is defined, for instance `{parameter.name}: float`."
            )
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in keyword_only
    }
    return create_model(name, __base__=Settings, **fields)


def settings(kind: Kind, name: str) -> type[Settings]:
    """Schema of an entry's settings: its keyword-only parameters.

    Raises:
        ValueError: no such entry.
    """
    return _schema(find(kind, name).target, name)


def load_plugin(path: Path) -> None:
    """Run a user's Python file, so that what it registers is known, with the hash of its text.

    Raises:
        ValueError: the file is missing, or running it failed.
    """
    if not path.is_file():
        raise ValueError(f"plugin file {path} does not exist. Give a path relative to the study's folder.")
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    module_name = f"deepboot_plugin_{source[:16]}"
    if module_name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"plugin file {path} is not a Python file. Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    token = _loading.set(source)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise ValueError(f"plugin file {path} failed to load: {type(error).__name__}: {error}") from error
    finally:
        _loading.reset(token)
