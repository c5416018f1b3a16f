"""Settings of the process that trains."""

import platform
import subprocess
import sys

import pytest

ASKED_AGAIN = """
import resource, torch
from deepboot.runners.run.process import prepare
prepare(1)
kept = torch.zeros(1)
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 << 18)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_large_blocks_are_not_asked_for_anew():
    """64 MiB, freed and taken again, are the same pages of 4 KiB: no page faults but a few of the interpreter's own."""
    ran = subprocess.run([sys.executable, "-c", ASKED_AGAIN], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 200
