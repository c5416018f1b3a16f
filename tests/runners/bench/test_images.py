"""The opponent's loop over images trains what a plain loop trains."""

import copy

import pytest
import torch
from torch import nn

from deepboot.runners.bench.images import ImageOpponent


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(4, 10),
    )  # fmt: skip


def trained_both_ways(dtype, **settings):
    """Losses of six steps: the opponent's, and those of a plain loop from the same weights, channels first."""
    torch.manual_seed(0)
    module = network()
    opponent = ImageOpponent(copy.deepcopy(module), **settings)
    optimizer, losses, expected = torch.optim.SGD(module.parameters(), lr=0.1, foreach=False), [], []
    for _ in range(6):
        x, y = torch.randn(6, 3, 8, 8), torch.randint(10, (6,))
        loss = nn.functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.detach())
        losses.append(opponent.update(x.to(dtype, memory_format=torch.channels_last), y))
    return torch.stack(losses), torch.stack(expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_channels_last_fused_and_compiled_losses_are_a_plain_loops(compiled):
    """To rounding, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        losses, expected = trained_both_ways(torch.float64, compiled=compiled, backend="aot_eager")
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=0)


def test_the_network_has_its_channels_last():
    """As the images have."""
    module = network()
    ImageOpponent(module, compiled=False)
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_is_near():
    """As near as eight bits of a number can be."""
    losses, expected = trained_both_ways(torch.bfloat16, compiled=False, bf16=True)
    assert not torch.equal(losses, expected)
    torch.testing.assert_close(losses[0], expected[0], rtol=0.03, atol=0)
