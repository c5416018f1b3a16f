"""Settings of the process that trains, which small networks on a CPU are at the mercy of.

Two of them matter more than most code. glibc hands every larger block back to the system as soon as
it is freed and asks for it anew; on a virtual machine the page faults can cost as much as a small
network's step. And numbers below 1e-38, in which softmax tails and decayed weights end, are computed
by slow microcode unless they are taken as zero. (How MKL rounds is settled by `deepboot.bootstrap`, before that.)
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's names for mallopt, malloc.h
SUBNORMAL = 1e-310
HELD_BYTES = 1 << 30


def prepare(threads: int) -> None:
    """Set threads, take subnormal numbers as zero, and keep freed memory where the system allows it."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    _keep_freed_memory()


def wait_for(device: torch.device | str) -> None:
    """Wait until a GPU has done all that it was asked for; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def guest() -> Iterator[None]:
    """Threads and subnormal numbers are treated as before afterwards: a notebook goes on with its own work."""
    threads, flushed = torch.get_num_threads(), (torch.tensor(SUBNORMAL, dtype=torch.float64) * 1).item() == 0
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def _keep_freed_memory() -> None:
    """Tell glibc, where that is the C library, to keep 1 GiB, and to map no block by itself, however large."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(MMAP_MAX, 0)
            libc.mallopt(TRIM_THRESHOLD, HELD_BYTES)
