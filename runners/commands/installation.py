"""What ``deepboot doctor`` looks at without torch: versions of packages, and local files that hide them."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from deepboot.runners.commands.findings import Finding
from deepboot.runners.run.environment import version

DISTRIBUTION = "deep-bootstrap"
USED = ("deepboot", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "torch", "torchvision")  # whatever is trained
OTHERS = ("datasets",)  # Hugging Face's, which is not ours and may be yours


def versions(requirements: Iterable[str], installed: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Findings about the packages that are needed, the sound ones in one line.

    Args:
        requirements: such as "torch>=2.11", as the installed package declares them.
        installed: versions by name; None looks them up.
    """
    sound = []
    for name, least in _lower_bounds(requirements):
        found = version(name) if installed is None else installed.get(name, "not installed")
        cure = f'pip install "{name}>={least}", or `uv sync` in a clone.'
        if found == "not installed":
            yield Finding("packages", f"{name} is not installed.", cure, is_broken=True)
        elif _numbers(found) < _numbers(least):
            yield Finding("packages", f"{name} {found} is older than {least}, which is needed.", cure, is_broken=True)
        else:
            sound.append(f"{name} {found}")
    yield Finding("packages", ", ".join(sound))


def _lower_bounds(requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names with their lower bounds, without those of extras."""
    for requirement in requirements:
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+)[^;]*", requirement)
        if found:
            yield found[1], found[2]


def _numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, without what follows them: 2.11.0+cpu is (2, 11, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[+a-z]", version)[0]))


def declared() -> list[str]:
    """What the installed package declares to need; empty where it is not installed, as beside a bare copy."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def folders_before_packages() -> list[Path]:
    """Folders that are searched before the installed packages, by this process or by its workers."""
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return [*([] if sys.flags.safe_path else [Path.cwd()]), *map(Path, given)]


def hidden(folders: Iterable[Path]) -> Iterator[Finding]:
    """Findings about files and folders that are imported in the place of an installed package.

    Args:
        folders: that are searched before the installed packages.
    """
    for name in (*USED, *OTHERS):
        for path in filter(None, (_local(folder, name) for folder in folders)):
            what = "in its worker processes" if name in USED else "in your own scripts that are run here"
            yield Finding(
                "names",
                f"{path} hides the installed package {name!r} {what}.",
                "rename it, or run from another folder.",
                is_broken=name in USED,
            )


def _local(folder: Path, name: str) -> Path | None:
    """The file or folder of this name in a folder, if it hides an installed package."""
    if folder.resolve() in _homes():
        return None
    candidates = (folder / f"{name}.py", folder / name / "__init__.py")
    return next((path for path in candidates if path.is_file()), None) if _is_installed(name) else None


def _homes() -> set[Path]:
    """The folders of the installed packages, in which nothing is hidden."""
    return {Path(path).resolve() for path in sys.path if "-packages" in path}


def _is_installed(name: str) -> bool:
    """Whether a package of this name is installed; the one that runs is."""
    return name == "deepboot" or PathFinder.find_spec(name, [str(path) for path in _homes()]) is not None
