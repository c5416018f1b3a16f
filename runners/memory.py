"""Keeping freed memory in the process.

glibc hands every larger block back to the system as soon as it is freed and asks for it anew; on a
virtual machine the page faults can then cost as much as a small network's step.
"""

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's names for mallopt, malloc.h
BLOCK_BYTES, HELD_BYTES = 32 << 20, 1 << 30


def keep_freed_memory() -> bool:
    """Tell glibc to keep blocks up to 32 MiB, 1 GiB in all; whether it was told (elsewhere nothing is done)."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return bool(libc.mallopt(MMAP_THRESHOLD, BLOCK_BYTES)) and bool(libc.mallopt(TRIM_THRESHOLD, HELD_BYTES))
