"""Settings of the process that trains."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from deepboot.runners import builtins
from deepboot.runners.run.process import prepare
builtins.load()
torch.ones(40, 40) @ torch.ones(40, 40)  # as a study's check may compute before there is a process that trains
prepare(1)
for _ in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 << 18)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
from deepboot.bootstrap.training.pack import Pack, train_steps
from tests.bootstrap.conftest import parity
from deepboot.bootstrap.study.sweep import runs_of
for width in (3, 25, 129):
    for batch in (33, 50):
        (run,) = runs_of(parity(
            model__width=width, training__seeds=1, training__ideal=False, training__train_size=100,
            training__batch_size=batch, task__num_bits=30,
        ))
        pack = Pack([run] * 4)
        train_steps(pack, 6)
        print(all(torch.equal(pack.param_EP[0], other) for other in pack.param_EP[1:]))
"""


@pytest.fixture(scope="module")
def printed():
    """Words that a prepared process prints: page faults of a large block, and whether equal members stayed equal."""
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()


def test_equal_members_stay_equal_wherever_they_lie(printed):
    """To the last bit, at widths and batches for which rows of memory begin anywhere."""
    assert printed[1:] == ["True"] * 6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_large_blocks_are_not_asked_for_anew(printed):
    """64 MiB, freed and taken again, are before long the same pages: no page faults but a few of the interpreter's."""
    assert int(printed[0]) < 200
