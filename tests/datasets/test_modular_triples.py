"""Triples modulo p: the labels by counting, and the regression of Mohamadi et al. by a plain loop."""

import math
from itertools import product

import pytest
import torch
from torch.nn import functional

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.modular_triples import ModularTriples

P = 7


def study(task=(), **training):
    """A small study of the paper's regression: its loss and rate, divided and multiplied by p - 1."""
    return {
        "question": "Is this a test?",
        "task": {"name": "modular_triples", "modulus": P, **dict(task)},
        "model": {
            "name": "mlp", "width": 4 * P, "activation": "quadratic", "bias": False, "embedding": 0, "queried": True,
            "output_scale": 1 / math.sqrt(P - 1),
        },
        "optimizer": {"name": "sgd", "lr": 0.01 * (P - 1)},
        "loss": {"name": "mse"},
        "training": {
            "train_size": 159, "batch_size": "full", "max_steps": 5, "seeds": 2, "dtype": "float64", **training,
        },
    }  # fmt: skip


def test_cells_are_all_triples_labelled_by_the_sum():
    """Every triple once, in order; p * p of them with a label; mean 1 / sqrt(p - 1) and variance 1."""
    task = ModularTriples(modulus=P)
    x, y = task.cells(torch.arange(task.size))
    assert [tuple(row) for row in x.tolist()] == list(product(range(P), repeat=3))
    assert [bool(label) for label in y] == [(a + b) % P == c for a, b, c in product(range(P), repeat=3)]
    assert y.var(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert y.mean().item() == pytest.approx(1 / math.sqrt(P - 1), rel=1e-5)
    assert task.show(x[0], y[0]) == "0 + 0 = 0 (mod 7)"
    assert task.show(x[1], y[1]) == "0 + 0 != 1 (mod 7)"


def test_the_regression_is_the_papers():
    """Three steps of stacked members are those of plain loops on p * [a + b = c], up to a label's float32."""
    pack = Pack(runs_of(study(ideal=False)))
    start, block = pack.member_step.stack.named(pack.param_EP.clone()), pack.data.block(0, 1)
    train_steps(pack, 3)
    for member in range(2):
        W = start["hidden.0.weight"][member].clone().requires_grad_()
        V = start["output.weight"][member].clone().requires_grad_()
        a, b, c = block.x[member, 0].unbind(-1)
        target = P * ((a + b) % P == c).double()
        pair = torch.cat([functional.one_hot(a, P), functional.one_hot(b, P)], 1).double()
        for _ in range(3):
            output = ((pair @ W.T) ** 2 @ V.T).gather(1, c[:, None])[:, 0]
            gradients = torch.autograd.grad((output - target).square().mean(), (W, V))
            with torch.no_grad():
                W.sub_(gradients[0], alpha=0.01)
                V.sub_(gradients[1], alpha=0.01)
        after = pack.member_step.stack.named(pack.param_EP)
        torch.testing.assert_close(after["hidden.0.weight"][member], W.detach(), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(after["output.weight"][member], V.detach(), rtol=1e-6, atol=1e-7)


def test_a_query_is_the_same_in_small_batches():
    """Fewer samples than twice the tokens take the other path through the first layer."""
    pack = Pack(runs_of(study(ideal=False)))
    x = pack.source.test().x[:, :60]
    few, many = (pack.logits(slice(0, 2), part) for part in (x[:, :5], x))
    assert few.shape == (2, 5, 1)
    torch.testing.assert_close(few, many[:, :5])


def test_an_mlp_is_queried_by_tokens_for_real_labels_only():
    """Classes have no single output to ask for."""
    raw = study(task={"name": "binary_operations"})
    with pytest.raises(StudyError, match=r"this task has 7 classes\. Set model\.queried = false\."):
        Pack(runs_of(raw))
