"""``deepboot data``: download, prepare and verify the files of a recorded data set."""

import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from deepboot.datasets import cifar5m
from deepboot.datasets.cifar5m.folder import command, readable_size
from deepboot.datasets.cifar10 import Cifar10
from deepboot.runners.live.progress import Progress


def run(dataset: str, action: str, root: Path, parts: Sequence[int], url: str | None) -> Iterator[str]:
    """Do it; line by line what was done, and the next command.

    Args:
        dataset: cifar5m or cifar10.
        action: download, prepare or verify.
        root: the folder of the files.
        parts: their numbers; none means all.
        url: where to download from, instead of the official server.

    Raises:
        ValueError: it cannot be done.
    """
    if url is not None and action != "download":
        raise ValueError(f"--url: only `download` reads from a server, got {action!r}. Remove it.")
    if parts and action == "verify":
        raise ValueError("--parts: `verify` reads all that is prepared. Remove it.")
    if dataset == "cifar10":
        yield from _cifar10(action, root, parts, url)
        return
    try:
        yield from ACTIONS[action](root, parts or cifar5m.ALL_PARTS, url)
    except OSError as error:
        raise ValueError(
            f"{error.filename or root}: {error.strerror or error}. Mend this; then the same command goes on."
        ) from error


def interrupted(action: str) -> str:
    """The message to a person who stopped it."""
    return {
        "download": "Stopped. The same command goes on where the download was.",
        "prepare": "Stopped. Nothing half done is left; the same command begins again.",
        "verify": "Stopped. Nothing was changed.",
    }[action]


def _cifar10(action: str, root: Path, parts: Sequence[int], url: str | None) -> Iterator[str]:
    """Download CIFAR-10 by torchvision, which unpacks it too, or verify it."""
    if action == "prepare" or parts or url is not None:
        raise ValueError(
            "deepboot data cifar10: torchvision's files have no parts, come from one server and need no preparing. "
            "Use `deepboot data cifar10 download` or `verify`, with --root only."
        )
    if action == "download":
        from torchvision.datasets import CIFAR10  # here, since it is slow to load

        try:
            CIFAR10(root, download=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{root}: CIFAR-10 could not be downloaded: {error}. Try again later.") from error
    task = Cifar10(root=str(root))
    yield f"{root}: {task.size:,} images of CIFAR-10, of which {len(task.tested.y):,} are for the test."
    yield f"Next: {shlex.join(['deepboot', 'show', 'cifar10', '--set', f'root={root}'])}"


def _download(root: Path, parts: Sequence[int], url: str | None) -> Iterator[str]:
    progress = partial(Progress, work="downloading")
    for file in cifar5m.download(root, parts, url or cifar5m.OFFICIAL_URL, progress=progress):
        yield f"{file}  {readable_size(file.stat().st_size)}"
    yield f"Next: {command('prepare', root, _named(parts))}"


def _prepare(root: Path, parts: Sequence[int], url: str | None) -> Iterator[str]:
    index = cifar5m.prepare(root, parts, progress=partial(Progress, work="preparing"))
    for entry in index.parts:
        yield f"part {entry.part}: {entry.count:,} images from {entry.source}"
    yield f"{root}: {index.count:,} images are prepared; the .npz files are no longer needed."
    yield f"Next: {command('verify', root)}"


def _verify(root: Path, parts: Sequence[int], url: str | None) -> Iterator[str]:
    yield from cifar5m.verify(root, progress=partial(Progress, work="verifying"))
    prepared = [entry.part for entry in cifar5m.read(root).parts]
    split = [] if _are_all(prepared) else [f"train_parts={_train(prepared)}", f"test_parts={_test(prepared)}"]
    yield f"Next: {shlex.join(['deepboot', 'show', 'cifar5m', '--set', f'root={root}', *split])}"


def _named(parts: Sequence[int]) -> Sequence[int]:
    """The parts to name on a command line; none where they are all, which is its default."""
    return () if _are_all(parts) else parts


def _are_all(parts: Sequence[int]) -> bool:
    return set(parts) == {*cifar5m.ALL_PARTS}


def _train(parts: Sequence[int]) -> str:
    """The training parts as --set takes them: all but part 5, unless it is the only one."""
    return f"[{','.join(str(part) for part in parts if part != 5 or len(parts) == 1)}]"


def _test(parts: Sequence[int]) -> str:
    """The test parts as --set takes them: part 5, if there are others to train on."""
    return "[5]" if 5 in parts and len(parts) > 1 else "[]"


ACTIONS = {"download": _download, "prepare": _prepare, "verify": _verify}
