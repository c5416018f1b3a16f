"""Training written out for one run: torch.optim and torch's own gradient, on the batches that its pack reads."""

import torch
from torch import nn
from torch.nn import functional

from deepboot.bootstrap.training.pack import Pack


def trained_by_torch(run, steps, optimizer_of, change=lambda leaves: None, after=lambda leaves: None):
    """Parameters of a run after some steps, (P,).

    Args:
        run: with cross entropy and a model without buffers.
        steps: how many.
        optimizer_of: makes the optimizer, of parameters by name.
        change: of the gradients before each step of the optimizer; it is given the parameters.
        after: of the parameters after each of its steps.
    """
    pack = Pack([run])
    stack = pack.member_step.stack
    leaves = {name: nn.Parameter(view[0].clone()) for name, view in stack.named(pack.param_EP).items()}
    optimizer = optimizer_of(leaves)
    for batch in pack.batches(steps):
        flat_1P = torch.cat([leaf.flatten() for leaf in leaves.values()])[None]
        logits_1BV = stack.logits(flat_1P, {}, pack.member_step.read(batch.x))
        optimizer.zero_grad()
        functional.cross_entropy(logits_1BV[0], batch.labels[0]).backward()
        change(list(leaves.values()))
        optimizer.step()
        after(list(leaves.values()))
        pack.step += batch.steps
    return torch.cat([leaf.detach().flatten() for leaf in leaves.values()])
