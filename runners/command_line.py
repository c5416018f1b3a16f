"""Commands made from functions: help with examples, and mistakes in words as one sentence. Tyro reads the words.

A command's words are read first and carried out afterwards, so that all that tyro prints while it reads is help or a
mistake, which this file may say in its own way.
"""

import inspect
import io
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial, wraps
from importlib import metadata
from itertools import dropwhile, takewhile
from typing import Annotated, Any, get_args, get_type_hints

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, arg

from deepboot.bootstrap.wording import nearest, shown, suggestion

NO_DEFAULT = ("None", "False", "")  # defaults that say no more than that nothing was given
EXAMPLES = "Examples:"  # begins the section of a docstring with one command a line
INVALID_CHOICE = re.compile(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)")
PLAINER = {  # tyro's words, and ours
    r"Unrecognized options": "not understood",
    r"Missing from .*?: (--\S+ \S+|\S+)": r"missing \1:",
    r" \(required\)(?= )": ",",
    r" \(required\)": "",
    r"Expected 1 values": "Expected one",
    r"Error parsing (\S+): no type matching (\S+) could be instantiated from \['(.*)'\]": r"\1: expected \2, got '\3'",
}
RULE = frozenset("-─")


@dataclass(frozen=True)
class Application:
    """Commands by name, under one program.

    Attributes:
        program: as it is typed.
        description: one sentence.
        commands: functions by the names of their commands, in the order of the help.
        distribution: the installed package whose version ``--version`` prints.
    """

    program: str
    description: str
    commands: dict[str, Callable[..., None]]
    distribution: str

    def cli(self, words: Sequence[str]) -> None:
        """Carry out what the words after the program's name say; help is printed.

        Raises:
            ValueError: they are no command of this program, in one sentence.
        """
        self.read(words or ["--help"])()

    def read(self, words: Sequence[str]) -> Callable[[], None]:
        """The command that these words name, with its settings, ready to be called.

        Raises:
            ValueError: see `cli`.
        """
        if list(words) == ["--version"]:
            return partial(print, self.program, metadata.version(self.distribution))
        self._check_names(words)
        told, complaint = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(told), redirect_stderr(complaint):
                return self._tyro().cli(
                    prog=self.program, description=self.description, args=list(words),
                    config=(FlagCreatePairsOff, DisallowNone),
                )  # fmt: skip
        except SystemExit as end:
            if end.code:
                raise ValueError(self._sentence(words, complaint.getvalue())) from None
        return partial(print, "\n".join(self._help(words, told.getvalue())))

    def _tyro(self) -> tyro.extras.SubcommandApp:
        app = tyro.extras.SubcommandApp()
        for name, function in self.commands.items():
            app.command(name=name)(_deferred(function))
        return app

    def _check_names(self, words: Sequence[str]) -> None:
        """Raise an error for the first command or option that is not known."""
        name, *others = words
        if name.startswith("-"):
            return
        if name not in self.commands:
            raise ValueError(f"unknown command {shown(name)}. {suggestion(name, sorted(self.commands))}")
        known = [*_options(self.commands[name]), "--help"]
        for word in others:
            option = word.partition("=")[0].replace("_", "-")
            if option.startswith("--") and option not in known:
                raise ValueError(
                    f"`{self.program} {name}` has no option {shown(option)}. {self._elsewhere(option, known)}"
                )

    def _elsewhere(self, option: str, known: list[str]) -> str:
        """The nearest option, or the commands that have this one."""
        others = [name for name, function in self.commands.items() if option in _options(function)]
        if nearest(option, known) is None and others:
            return f"It is one of `{self.program} {others[0]}`. Known here: {', '.join(sorted(known))}."
        return suggestion(option, sorted(known))

    def _sentence(self, words: Sequence[str], complaint: str) -> str:
        """Tyro's complaint as one sentence, and where the help is."""
        command = " ".join([self.program, *(word for word in words[:1] if word in self.commands)])
        text = _flat(complaint).partition(" Got errors:")[0].removesuffix(".")
        choice = INVALID_CHOICE.fullmatch(text)
        if choice:
            word, setting, listed = choice.groups()
            known = [one.strip("'") for one in listed.split(", ")]
            return f"{setting}: unknown choice {shown(word)}. {suggestion(word, known)}"
        for theirs, ours in PLAINER.items():
            text = re.sub(theirs, ours, text)
        return f"{command}: {text}. See `{command} --help`."

    def _help(self, words: Sequence[str], told: str) -> Iterator[str]:
        """Lines of tyro's help, no longer than the terminal, and a command's examples."""
        width = shutil.get_terminal_size().columns  # 80 where there is no terminal
        told = told.replace("{" + ",".join(self.commands) + "}", "COMMAND")  # the list of them follows
        for line in told.rstrip().splitlines():
            if line.strip(" │") != "(required)":
                yield from textwrap.wrap(line, width, subsequent_indent="  " * line.startswith("usage"),
                                         break_on_hyphens=False, break_long_words=False) or [""]  # fmt: skip
        if words[0] in self.commands:
            yield from ["", "examples:", *(f"  {line}" for line in examples(self.commands[words[0]]))]
        else:
            yield f"\nMore about one of them, with examples: {self.program} COMMAND --help"
            yield f"The installed version: {self.program} --version"


def _flat(complaint: str) -> str:
    """The words of tyro's complaint, up to the second rule, on one line; the first is under its title."""
    lines = [line.strip(" │") for line in complaint.splitlines()[1:]]
    begun = dropwhile(lambda line: set(line) <= RULE, lines)
    return " ".join(" ".join(takewhile(lambda line: not line or not set(line) <= RULE, begun)).split())


def examples(function: Callable[..., None]) -> list[str]:
    """The example commands of a function's docstring, one a line."""
    section = (inspect.getdoc(function) or "").partition(EXAMPLES)[2]
    return textwrap.dedent(section).strip().splitlines()


def _deferred(function: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """A function of the same settings that returns the call instead of making it; its help has no empty defaults."""

    @wraps(function)
    def call(*given: Any, **settings: Any) -> Callable[[], None]:
        return partial(function, *given, **settings)

    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    parameters = [
        one.replace(annotation=Annotated[hints[name], arg(help_behavior_hint=_default)])
        for name, one in signature.parameters.items()
    ]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    del call.__wrapped__  # where tyro would look for the settings
    return call


def _default(value: str) -> str:
    return "" if value in NO_DEFAULT else f"(default: {value})"


def _options(function: Callable[..., None]) -> list[str]:
    """The options of a command, with their dashes."""
    hints = get_type_hints(function, include_extras=True)
    options = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            given = [mark.name for mark in get_args(hints[name])[1:] if getattr(mark, "name", None)]
            options.append(f"--{(given or [name])[0]}".replace("_", "-"))
    return options
