"""The files of CIFAR-5m: downloaded, turned once into one array that is read from the disk, and checked.

``download`` brings the published parts, ``prepare`` writes ``images.npy``, ``labels.npy`` and, last,
``cifar5m.json``, the index of the two; ``verify`` reads all of it again. No torch is needed.
"""

from deepboot.datasets.cifar5m.prepared import Prepared, read, verify
from deepboot.datasets.cifar5m.preparing import prepare
from deepboot.datasets.cifar5m.published import ALL_PARTS, OFFICIAL_URL
from deepboot.datasets.cifar5m.transfer import download

__all__ = ["ALL_PARTS", "OFFICIAL_URL", "Prepared", "download", "prepare", "read", "verify"]
