"""Parts of messages: values as they are shown, known names near a wrong one, and the reasons of errors."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

LONGEST_SHOWN, LONGEST_PATH = 80, 300  # characters of a value and of a path in a message
MOST_LISTED = 40  # known words that a message lists beside the nearest one


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like this one, if any is like it."""
    near = difflib.get_close_matches(word[:LONGEST_SHOWN], list(known), n=1)
    return near[0] if near else None


def suggestion(word: str, known: list[str]) -> str:
    """A sentence with the known word nearest to this one, and the list of all; a long list only where none is near.

    >>> suggestion("sparse_party", ["digits", "sparse_parity"])
    "Did you mean 'sparse_parity'? Known: digits, sparse_parity."
    >>> suggestion("n77", [f"n{number}7" for number in range(100)])
    "Did you mean 'n77'? It is one of 100 known names."
    """
    near = nearest(word, known)
    if near is not None and len(known) > MOST_LISTED:
        return f"Did you mean {near!r}? It is one of {len(known)} known names."
    guess = f"Did you mean {near!r}? " if near is not None else ""
    return f"{guess}Known: {', '.join(known) or 'none'}."


def with_article(noun: str) -> str:
    """A noun as one of its kind.

    >>> with_article("optimizer"), with_article("task")
    ('an optimizer', 'a task')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def shown(value: Any) -> str:
    """A value as a message shows it: as Python writes it, and clipped."""
    return clipped(repr(value))


def clipped(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A text, or the beginning of a long one and its length.

    >>> clipped("abc"), clipped("abc" * 1_000)[50:]
    ('abc', 'cabca… (3,000 characters)')
    """
    if len(text) <= longest:
        return text
    return f"{text[: longest - 25]}… ({len(text):,} characters)"


def error_line(error: BaseException) -> str:
    """An error in one line: its type and the first line of its message.

    >>> error_line(RuntimeError("no compiler" + chr(10) + "and a long trace"))
    'RuntimeError: no compiler'
    """
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"


def reason(error: BaseException, cure: str) -> str:
    """The message of an error in a user's code, with a cure unless it has one itself, in a second sentence.

    >>> reason(ValueError("No such layer. Count them."), "Mend the model.")
    'No such layer. Count them.'
    >>> reason(KeyError(3), "Mend the model.")
    'KeyError: 3. Mend the model.'
    """
    text = " ".join(str(error).split())
    has_cure = isinstance(error, ValueError) and re.search(r"[.?] [A-Z]", text)  # may end in a command to be copied
    if has_cure or re.fullmatch(r".*[.?] .*[.?`]", text):
        return text
    if text.endswith("."):
        return f"{text} {cure}"
    line = clipped(str(error).strip().split("\n", 1)[0], LONGEST_PATH)
    return f"{type(error).__name__}{f': {line}' if line else ''}. {cure}"
