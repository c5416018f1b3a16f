"""What probes are given, caught by a probe that measures nothing."""

import torch

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import ON_CPU
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.prober import Prober
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "modulus": 7}


def given(fill=None, *, steps=0, execution=ON_CPU, **changes):
    """The `Measured` of every part of a pack, in float64, after some steps.

    ``fill`` gives parameters other values by their names.
    """
    seen = []

    def spy(measured):
        seen.append(measured)
        return measured.nan()

    register("probe", "test_spy")(spy)
    runs = runs_of(parity(**{"training__dtype": "float64", **changes}, probes={"test_spy": {}}))
    pack = Pack(runs, execution)
    train_steps(pack, steps)
    for name, parameter in pack.member_step.stack.named(pack.param_EP).items():
        parameter.copy_(fill(name, parameter)) if fill else None
    seen.clear()  # of the study's own trial
    Prober(Evaluator(pack), runs).values() if steps == 0 else _at_step_0(pack, runs)
    return seen


def _at_step_0(pack, runs):
    """Measure after training as if it were the first evaluation, which is always due."""
    prober, step = Prober(Evaluator(pack), runs), pack.step
    pack.step = 0
    prober.values()
    pack.step = step


def noise(seed=0):
    """A ``fill`` of standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return lambda name, parameter: torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
