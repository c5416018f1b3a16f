"""``deepboot doctor``: whether this installation computes what it should, what is slow here, and the cures."""

import sys
from collections.abc import Iterator
from pathlib import Path

from deepboot.bootstrap.wording import error_line
from deepboot.runners.commands import installation
from deepboot.runners.commands.findings import Finding, conclusion
from deepboot.runners.run import environment

KNOWN_ANSWER = (0x6B200159, 0x99BA4EFE)  # Threefry-2x32-20 of zeros, Salmon et al. 2011


def examine(out: Path) -> tuple[list[str], bool]:
    """Lines about the installation and the machine, and whether nothing is broken.

    Args:
        out: the output folder, which need not exist.
    """
    findings = [
        Finding("python", f"{sys.version.split()[0]}, deep-bootstrap {environment.version(installation.DISTRIBUTION)}"),
        *installation.versions(installation.declared()),
        *installation.hidden(installation.folders_before_packages()),
        *_with_torch(out),
    ]
    lines = [line for finding in findings for line in finding.lines()]
    return [*lines, conclusion(findings)], not any(finding.is_broken for finding in findings)


def _with_torch(out: Path) -> Iterator[Finding]:
    """Findings that take torch, or that it cannot be imported."""
    try:
        from deepboot.runners.commands import machine
    except Exception as error:  # a broken build may raise anything
        cure = "install it anew, in an environment of its own: `uv sync` in a clone, or pip install deep-bootstrap."
        yield Finding("torch", f"cannot be imported: {error_line(error)}.", cure, is_broken=True)
        return
    yield from machine.usual()
    yield machine.disk(out)
    yield from _streams()


def _streams() -> Iterator[Finding]:
    """Whether every device computes the published random numbers."""
    import torch

    from deepboot.bootstrap import streams

    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        zero = torch.zeros((), dtype=torch.int32, device=device)
        answer = tuple(int(word) & 0xFFFFFFFF for word in streams.threefry(zero, zero, zero, zero))
        if answer == KNOWN_ANSWER:
            yield Finding("streams", f"random numbers on {device}: known answers match.")
        else:
            yield Finding(
                "streams", f"random numbers on {device} are WRONG: this build of torch computes wrong integers.",
                "install another version of torch.", is_broken=True,
            )  # fmt: skip
