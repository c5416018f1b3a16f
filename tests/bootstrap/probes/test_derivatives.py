"""The tangent kernel and sharpness against torch's own Jacobians and Hessians of plain functions, in float64."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import jacrev

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.layers import Linear
from deepboot.bootstrap.probes.sharpness import sharpness
from deepboot.bootstrap.probes.tangent_kernel import ntk_distance
from deepboot.bootstrap.registry import register
from tests.bootstrap.probes.spy import ADDITION, given, noise

SMOOTH = {"name": "mlp", "width": 4, "activation": "tanh"}


@pytest.fixture
def linear():
    """A model that is linear in its parameters."""

    @register("model", "test_linear")
    class LinearModel(nn.Module):
        """One layer."""

        def __init__(self, inputs, classes):
            super().__init__()
            self.layer = Linear(inputs.size, classes)

        def forward(self, x):
            return self.layer(x)

    return {"name": "test_linear"}


def plain(measured, param_P, x):
    """Logits of one member of SMOOTH, (B, V), written out."""
    shapes = [parameter.shape[1:] for parameter in measured.named.values()]
    first, first_bias, last, last_bias = (
        part.view(shape) for part, shape in zip(param_P.split([shape.numel() for shape in shapes]), shapes, strict=True)
    )
    return (x @ first.T + first_bias).tanh() @ last.T + last_bias


def test_the_kernel_of_a_linear_network_does_not_move(linear):
    """That of a network with a hidden layer does."""
    for measured in given(model=linear, steps=6, training__seeds=2):
        assert not torch.equal(measured.param_EP, measured.initial()[0])
        assert ntk_distance(measured).max() < 1e-12
    for measured in given(model=SMOOTH, steps=6, training__seeds=2):
        assert ntk_distance(measured).min() > 1e-6


def test_the_distance_is_that_of_jacobians():
    """By jacrev of a plain function, member by member."""
    for measured in given(model=SMOOTH, steps=6, training__seeds=2):
        direction_V = streams.normal(streams.keys([0], "tangent kernel"), torch.arange(2)[None], 1)[0, :, 0].double()
        x_EBI = measured.test.x[:, :5].double()
        start_EP = measured.initial()[0]
        for member, distance in enumerate(ntk_distance(measured, samples=5)):
            grams = []
            for param_P in (measured.param_EP[member], start_EP[member]):
                jacobian_BVP = jacrev(lambda param, x=x_EBI[member], one=measured: plain(one, param, x))(param_P)
                gradient_BP = torch.einsum("bvp,v->bp", jacobian_BVP, direction_V)
                grams.append((gradient_BP @ gradient_BP.T).flatten())
            expected = 1 - torch.nn.functional.cosine_similarity(*grams, dim=0)
            torch.testing.assert_close(distance, expected, rtol=1e-9, atol=1e-13)


def test_the_distance_is_zero_at_the_start():
    """The starting parameters are derived again, to the bit."""
    for measured in given():
        assert torch.equal(measured.param_EP, measured.initial()[0])
        assert ntk_distance(measured).max() < 1e-12


def eigenvalue(loss, param_P):
    """The eigenvalue of the Hessian that is largest in size."""
    values = torch.linalg.eigvalsh(hessian(loss, param_P))
    return values[values.abs().argmax()]


@pytest.mark.parametrize("of", ["train", "test"])
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(of):
    """By torch's own Hessian of a plain function; pools of one pack differ in size."""
    changes = {"training__train_size": [9, 24], "training__batch_size": 8, "model": SMOOTH}
    real, ideal = given(noise(2), **changes)
    found = sharpness(real, of=of, iterations=100)
    for member in range(2):
        count = (9, 24)[member] if of == "train" else 64
        samples = real.pool if of == "train" else real.test
        x, y = samples.x[member, :count].double(), samples.y[member, :count]
        expected = eigenvalue(
            lambda param, x=x, y=y: nn.functional.cross_entropy(plain(real, param, x), y), real.param_EP[member]
        )
        torch.testing.assert_close(found[member], expected, rtol=1e-6, atol=1e-9)
    assert sharpness(ideal).isnan().all()
    assert sharpness(ideal, of="test").isfinite().all()


def test_the_hessian_of_a_quadratic_is_known(linear):
    """Least squares: the second moments of the inputs and of a one, whatever the parameters are."""
    (real, _) = given(noise(), model=linear, loss={"name": "mse"}, training__train_size=24)
    (other, _) = given(noise(5), model=linear, loss={"name": "mse"}, training__train_size=24)
    x = torch.cat((real.pool.x[0].double(), torch.ones(24, 1, dtype=torch.float64)), 1)
    unit = hessian(lambda logit: real.loss(logit.expand(1, 1, 2), real.pool.y[:, :1])[0, 0], torch.zeros(1).double())
    # of both logits together twice the second derivative by one of them
    expected = torch.linalg.eigvalsh(x.T @ x / 24)[-1] * unit[0, 0] / 2
    torch.testing.assert_close(sharpness(real, iterations=200)[0], expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(sharpness(other, iterations=200)[0], expected, rtol=1e-9, atol=0)


def test_sharpness_of_large_batches_of_tokens():
    """More samples than twice the tokens, which models sum rows for: they come in blocks that can be differentiated."""
    changes = {"task": ADDITION, "training__train_size": 30, "model": {"name": "mlp", "width": 3, "embedding": 2}}
    (real, _) = given(noise(4), **changes)
    tables = {name: parameter[0] for name, parameter in real.named.items()}
    sizes = [table.numel() for table in tables.values()]

    def loss(param_P):
        table, first, first_bias, last, last_bias = (
            part.view(one.shape) for part, one in zip(param_P.split(sizes), tables.values(), strict=True)
        )
        x = real.pool.x[0][:, [0, 2]]
        logits = (table[x].flatten(1) @ first.T + first_bias).relu() @ last.T + last_bias
        return nn.functional.cross_entropy(logits, real.pool.y[0])

    expected = eigenvalue(loss, real.param_EP[0])
    torch.testing.assert_close(sharpness(real, iterations=200)[0], expected, rtol=1e-6, atol=1e-9)


def test_only_so_many_samples_are_differentiated():
    """The first ones."""
    few, _ = given(noise(), model=SMOOTH, training__train_size=24)
    many, _ = given(noise(), model=SMOOTH, training__train_size=24)
    assert not torch.allclose(sharpness(many), sharpness(few, samples=8))
