"""The optimizer's coefficients: the same wherever steps are cut, and computed once for a block."""

import pytest
import torch

from deepboot.bootstrap.optimizers import AdamW
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.coefficients import BLOCK_STEPS, Schedules
from tests.bootstrap.conftest import parity


def schedules(*, noisy=False):
    runs = runs_of(parity(training__seeds=2, training__max_steps=400, schedule={"shape": "cosine", "warmup_steps": 9}))
    optimizers = [AdamW(lr=10.0**-power) for power in range(1, 5)]
    return Schedules(runs, optimizers, noisy=noisy, device=torch.device("cpu"))


@pytest.mark.parametrize("noisy", [False, True])
def test_coefficients_do_not_depend_on_where_steps_are_cut(noisy):
    """Bit for bit, inside a block, across several and back again."""
    whole = schedules(noisy=noisy).coefficients(0, 300)
    assert {name: table.shape for name, table in whole.items() if name != "step"} == {
        name: (300, 4, 1) for name in whole if name != "step"
    }
    asked = schedules(noisy=noisy)
    for start, stop in ((0, 1), (1, 64), (63, 65), (64, 128), (3, 260), (299, 300), (0, 5)):
        for name, table in asked.coefficients(start, stop).items():
            assert torch.equal(table, whole[name][start:stop]), name
    assert ("step" in whole) is noisy


def test_a_block_is_computed_once_for_all_calls_that_ask_for_parts_of_it(monkeypatch):
    """Steps that are asked for one by one do not compute their block again and again."""
    calls, coefficients = [], AdamW.coefficients
    monkeypatch.setattr(
        AdamW, "coefficients", staticmethod(lambda *given: calls.append(len(given[1])) or coefficients(*given))
    )
    asked = schedules()
    for step in range(2 * BLOCK_STEPS):
        asked.coefficients(step, step + 1)
    assert calls == [BLOCK_STEPS, BLOCK_STEPS]
