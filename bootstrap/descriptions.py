"""What an entry and each of its settings are for: the prose and the ``Args`` of its docstring."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from deepboot.bootstrap.registry import Settings

LISTS = ("Args:", "Attributes:")
NO_PROSE = (*LISTS, "Raises:", "Returns:", "Shapes:", ">>>")


def prose(target: Callable[..., Any]) -> str:
    """The docstring of a function or class for a terminal: without shapes, arguments, errors and examples.

    Words in pairs of backticks have single ones.

    >>> prose(arguments).splitlines()[0]
    'Descriptions in the `Args` or `Attributes` of a docstring, by name.'
    """
    paragraphs = re.split(r"\n\s*\n", (inspect.getdoc(target) or "").replace("``", "`"))
    sources = re.findall(r"^Source: .*(?:\n(?!\n|[A-Z]\w+:).+)*", "\n\n".join(paragraphs), re.MULTILINE)
    kept = [paragraph for paragraph in paragraphs if not paragraph.lstrip().startswith((*NO_PROSE, "Source:"))]
    return "\n\n".join([re.split(r"^Source: ", part, flags=re.MULTILINE)[0].strip("\n") for part in kept] + sources)


def arguments(docstring: str) -> dict[str, str]:
    """Descriptions in the ``Args`` or ``Attributes`` of a docstring, by name.

    >>> arguments('''An MLP.
    ...
    ... Args:
    ...     width, depth: units of a layer,
    ...         and layers.
    ... Source: nobody.
    ... ''')
    {'width': 'units of a layer, and layers.', 'depth': 'units of a layer, and layers.'}
    """
    found: dict[str, str] = {}
    for block in re.findall(rf"^(?:{'|'.join(LISTS)})\n((?:(?: {{4}}.*|[ ]*)(?:\n|$))+)", docstring, re.MULTILINE):
        for names, text in re.findall(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", block, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(text.replace("``", "`").split()))
    return found


def settings_lines(target: Callable[..., Any], schema: type[Settings]) -> dict[str, str]:
    """The description of every setting, by name: that of the docstring or of a base class, else that of its type.

    A setting without any has an empty one.

    Args:
        target: the function or class whose settings they are.
        schema: of these settings.
    """
    classes = reversed(target.__mro__) if inspect.isclass(target) else (target,)
    written: dict[str, str] = {}
    for one in classes:
        written |= arguments(inspect.cleandoc(one.__doc__ or ""))
    return {name: written.get(name) or field.description or "" for name, field in schema.model_fields.items()}
