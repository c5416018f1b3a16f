"""Members of a pack beside the same runs alone."""

import torch

from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.train import train
from deepboot.runners.run.packing import pack_key


def trained_as_alone(members, execution):
    """The outcomes of runs that share a pack, each checked to be what its run is alone, to the last bit.

    Args:
        members: runs with the same pack key, whose parameters come to differ.
        execution: how the pack is trained; each run alone is trained by default.
    """
    assert len({pack_key(run) for run in members}) == 1
    together = train(members, execution)
    assert len({tuple(one.state["parameters"].tolist()) for one in together}) == len(members)
    for run, one in zip(members, together, strict=True):
        (alone,) = train([run], Execution())
        assert str(alone.rows) == str(one.rows)
        assert alone.state.keys() == one.state.keys()
        assert all(torch.equal(alone.state[name], one.state[name]) for name in alone.state)
    return together
