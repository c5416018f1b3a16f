"""Tasks, one file each; importing the package makes them known by name."""

from datasets import sparse_parity

__all__ = ["sparse_parity"]
