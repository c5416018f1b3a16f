"""One thing that ``deepboot doctor`` found, and how it is printed."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH, INDENT = 100, 21  # columns of a line, and those before its text


@dataclass(frozen=True)
class Finding:
    """What was found about one part of the installation or the machine.

    Attributes:
        topic: the part, in a word.
        text: what was found.
        cure: what to do about it; empty where nothing has to be done.
        is_broken: whether something fails, not only takes longer.
    """

    topic: str
    text: str
    cure: str = ""
    is_broken: bool = False

    @property
    def status(self) -> str:
        """In a word: "ok", "slow" or "broken"."""
        return "broken" if self.is_broken else "slow" if self.cure else "ok"

    def lines(self) -> Iterator[str]:
        """Lines of at most 100 columns: status, topic and text, then the cure."""
        head = f"{self.status:7} {self.topic:12} "
        paragraphs = [self.text, *([f"Cure: {self.cure}"] if self.cure else [])]
        for number, paragraph in enumerate(paragraphs):
            first = " " * INDENT if number else head
            yield from textwrap.wrap(
                paragraph, WIDTH, initial_indent=first, subsequent_indent=" " * INDENT,
                break_on_hyphens=False, break_long_words=False,
            )  # fmt: skip


def conclusion(findings: list[Finding]) -> str:
    """What all findings come to, and what to do next."""
    number = {status: sum(one.status == status for one in findings) for status in ("broken", "slow")}
    if number["broken"]:
        return f"Broken: {number['broken']} of {len(findings)}. Mend these first, then ask `deepboot doctor` again."
    slow = f"; {number['slow']} of {len(findings)} make it slower than it could be" if number["slow"] else ""
    return f"Nothing is broken{slow}.\nNext: deepboot demo"
