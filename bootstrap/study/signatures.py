"""Whether a model's constructor and forward pass take what they are given, asked before they are called."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from deepboot.bootstrap.study.build import missing_member


def constructor_problem(target: Callable[..., Any]) -> str:
    """A sentence about a class or function that does not take a task's inputs and classes by place; or no text."""
    is_class = isinstance(target, type)
    name = f"{target.__qualname__}.__init__" if is_class else target.__qualname__
    cure = "Put settings such as {!r} behind a `*`, each with its type."
    return _problem(target, name, ["self"] * is_class, ["inputs", "classes"], "*, ...", cure)


def forward_problem(module: nn.Module) -> str:
    """A sentence about a forward pass that does not take a batch of inputs and nothing else; or no text."""
    if getattr(module.forward, "__func__", None) is nn.Module.forward:
        return missing_member(type(module), "model", "forward")
    name, cure = f"{type(module).__qualname__}.forward", "Remove {!r}, or give it a default: there are only inputs."
    return _problem(module.forward, name, ["self"], ["x"], "", cure)


def _problem(
    function: Callable[..., Any], name: str, own: Sequence[str], given: Sequence[str], settings: str, cure: str
) -> str:
    """A sentence about a function that cannot be called; or no text.

    Args:
        function: without the parameters that are bound, as `self`.
        name: of it in the sentence.
        own: names of the parameters that are bound.
        given: names for what it is given by place.
        settings: as its signature has them; "" if it is given none by name.
        cure: for the name of a parameter that nothing is given for.
    """
    parameters = [one.replace(annotation=one.empty) for one in inspect.signature(function).parameters.values()]
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    by_name = [one for one in parameters if one.kind is one.KEYWORD_ONLY and not settings]
    unfilled = [one.name for one in by_place[len(given) :] + by_name if one.default is one.empty]
    takes_all = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    lacking = [] if takes_all else given[len(by_place) :]
    if not unfilled and not lacking:
        return ""
    form = ", ".join(filter(None, [*own, *given, settings]))
    found = ", ".join(filter(None, [*own, str(inspect.Signature(parameters))[1:-1]]))
    method = name.rpartition(".")[2]
    mended = cure.format(unfilled[0]) if unfilled else f"Add {' and '.join(map(repr, lacking))}."
    return f"{name}: expected `{method}({form})`, got `{method}({found})`. {mended}"
