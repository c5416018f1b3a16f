"""Restricted and excluded loss, against projections written out in NumPy and networks whose answer is known."""

import math
import re

import numpy as np
import pytest
import torch

from deepboot.bootstrap.probes.key_frequencies import excluded_loss, restricted_loss
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity
from tests.bootstrap.probes.spy import ADDITION, given, noise

FIVE_UNITS = {
    "name": "mlp", "width": 5, "operands": "sum", "activation": "quadratic", "bias": False, "embedding": 2,
}  # fmt: skip
BY_POWERS_OF_3 = [1, 3, 2, 6, 4, 5]  # modulo 7
MODELS = [{"name": "mlp", "width": 16, "embedding": 8}, {"name": "transformer", "layers": 1, "width": 16, "heads": 2}]


def answer(operation, a, b, p):
    """What an operation gives, the number b' with b' b = a by trying all."""
    if operation == "x/y":
        return next(c for c in range(p) if c * b % p == a)
    return {"x+y": a + b, "x-y": a - b, "x*y": a * b}[operation] % p


def losses_by_hand(logits_of, operation, p, frequencies, pool):
    """Restricted loss over all pairs, and excluded loss over the pairs of a pool with their labels.

    Every wave is a vector over the grid of pairs, and its part of the logits an outer product.
    """
    order = BY_POWERS_OF_3 if operation in ("x*y", "x/y") else range(p)
    pairs = [(a, b) for a in order for b in order]
    grid = np.stack([logits_of(a, b) for a, b in pairs])
    place = {number: index for index, number in enumerate(order)}
    sign, count = (1 if operation in ("x+y", "x*y") else -1), len(order)
    phases = np.array([place[a] + sign * place[b] for a, b in pairs])
    part = np.zeros_like(grid)
    for frequency in frequencies:
        for wave in (np.cos, np.sin):
            vector = wave(2 * np.pi * frequency * phases / count)
            if np.linalg.norm(vector) > 1e-6:
                vector = vector / np.linalg.norm(vector)
                part += np.outer(vector, vector @ grid)

    def loss(logits, labels):
        peak = logits.max(1, keepdims=True)
        log_sum = np.log(np.exp(logits - peak).sum(1)) + peak[:, 0]
        return float(np.mean(log_sum - logits[np.arange(len(labels)), labels]))

    restricted = loss(part + grid.mean(0), [answer(operation, a, b, p) for a, b in pairs])
    at = {pair: index for index, pair in enumerate(pairs)}
    kept = [(at[tuple(pair)], label) for *pair, label in pool if tuple(pair) in at]
    rows, labels = (list(column) for column in zip(*kept, strict=True))
    return restricted, loss((grid - part)[rows], labels)


def logits_of(measured, member):
    """The logits of one member for any two numbers, one at a time."""
    left, right = measured.task.inputs.varying

    def of(a, b):
        x = measured.test.x[:, :1].clone()
        x[..., left], x[..., right] = a, b
        return measured.forward(measured.param_EP, measured.buffers, x)[member, 0].numpy()

    return of


def pool_of(measured, member):
    """The pairs of a member's pool, with their labels."""
    left, right = measured.task.inputs.varying
    own = measured.pool.own_EK[member]
    x, y = measured.pool.x[member][own], measured.pool.y[member][own]
    return [(int(a), int(b), int(label)) for a, b, label in zip(x[:, left], x[:, right], y, strict=True)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("operation", "p"), [("x+y", 7), ("x+y", 8), ("x-y", 7), ("x*y", 7), ("x/y", 7)])
@pytest.mark.parametrize("tokens", ["x op y =", "x y ="])
def test_losses_of_random_weights_agree_with_projections_by_hand(operation, p, tokens, model):
    """Pools of two sizes with noisy labels, members with other weights, frequency 3 of 6 or 8 places with its cos."""
    task = {"name": "binary_operations", "modulus": p, "operation": operation, "tokens": tokens}
    parts = given(
        noise(4), task=task, model=model, training__train_size=[12, 20], training__batch_size=12,
        data__label_noise=0.3, training__seeds=2,
    )  # fmt: skip
    for measured in parts:
        restricted = restricted_loss(measured, frequencies=[1, 3])
        excluded = excluded_loss(measured, frequencies=[1, 3])
        for member in range(len(restricted)):
            pool = pool_of(measured, member) if measured.pool is not None else [(1, 1, 0)]
            expected = losses_by_hand(logits_of(measured, member), operation, p, [1, 3], pool)
            assert restricted[member].item() == pytest.approx(expected[0], rel=1e-9)
            if measured.pool is not None:
                assert excluded[member].item() == pytest.approx(expected[1], rel=1e-9)
        assert measured.pool is not None or excluded.isnan().all()


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_the_constructed_network_has_the_waves_of_its_frequency_alone(frequency):
    """Its logits are g cos²(π f (a - b) / p) cos(2π f (a + b - c) / p), of which half a wave of the sum is kept.

    The rest is a quarter of one wave of 2a - c and of one of 2b - c.
    """
    p = 7
    (measured, _) = given(
        task=ADDITION, model=FIVE_UNITS, start={"construction": {"name": "modular_circle", "frequency": frequency}}
    )
    turn = 2 * math.pi * frequency / p
    gain = logits_of(measured, 0)(0, 0)[0]  # of a = b = c = 0, where both cosines are 1
    log_sum = math.log(sum(math.exp(gain / 2 * math.cos(turn * c)) for c in range(p)))
    assert restricted_loss(measured, number=1).item() == pytest.approx(log_sum - gain / 2, rel=1e-5)
    by_pair = []
    for a, b, label in pool_of(measured, 0):
        rest = [gain / 4 * (math.cos(turn * (2 * a - c)) + math.cos(turn * (2 * b - c))) for c in range(p)]
        by_pair.append(math.log(sum(map(math.exp, rest))) - rest[label])
    assert excluded_loss(measured, number=1).item() == pytest.approx(sum(by_pair) / len(by_pair), rel=1e-5)
    for probe in (restricted_loss, excluded_loss):
        torch.testing.assert_close(probe(measured, number=1), probe(measured, frequencies=[frequency]))


def planted(measured, logits_PPV):
    """The members with these logits of every pair."""
    left, right = measured.task.inputs.varying
    return type(measured)(
        **{**vars(measured), "forward": lambda _, __, x: logits_PPV[x[..., left], x[..., right]], "test_block": 5}
    )


def test_the_strongest_frequencies_are_found_and_the_number_is_a_setting():
    """Of planted waves of amplitudes 3, 2 and 1 at frequencies 2, 5 and 1, with a constant and a memorised part."""
    p = 11
    (measured, _) = given(task={"name": "binary_operations", "modulus": p}, training__train_size=60)
    number = torch.arange(p, dtype=torch.float64)
    sums = number[:, None, None] + number[None, :, None] - number
    waves = {f: (2 * math.pi * f * sums / p).cos() for f in (1, 2, 5)}
    constant, memorised = number / 10, 4 * (torch.arange(p)[:, None, None] == torch.arange(p)[None, :, None]).double()
    own = planted(measured, 3 * waves[2] + 2 * waves[5] + waves[1] + constant + memorised * (number == 3))
    found = {number: restricted_loss(own, number=number).item() for number in (1, 2, 3)}
    for count, frequencies in ((1, [2]), (2, [2, 5])):
        assert found[count] == restricted_loss(own, frequencies=frequencies).item()
        assert excluded_loss(own, number=count).item() == excluded_loss(own, frequencies=frequencies).item()
    assert found[1] > found[2] > found[3]
    assert restricted_loss(own, number=99).isfinite().all()  # more than there are: all of them


def test_a_network_without_waves_has_the_restricted_loss_of_its_mean_logits():
    """Equal logits for every pair: nothing is found, nothing taken away."""
    (measured, _) = given(task=ADDITION)
    bias = torch.linspace(0, 2, 7, dtype=torch.float64)
    own = planted(measured, bias.expand(7, 7, 7))
    expected = bias.logsumexp(0) - bias
    torch.testing.assert_close(restricted_loss(own), expected.mean()[None])
    torch.testing.assert_close(excluded_loss(own), expected[measured.pool.y[0]].mean()[None])


def test_values_are_those_that_a_member_has_alone():
    """Packed, in pools of two sizes, and sequential; probes change no run."""
    changes = {
        "task": ADDITION, "training__train_size": [16, 24], "training__seeds": 2, "training__dtype": "float64",
        "probes": {"restricted_loss": {"number": 2}, "excluded_loss": {"number": 2}},
    }  # fmt: skip
    runs = runs_of(parity(**changes))
    packed = train(runs)
    for others in ([one for run in runs for one in train([run])], train(runs, Execution(sequential=True))):
        for one, other in zip(packed, others, strict=True):
            for row, same in zip(one.probes, other.probes, strict=True):
                assert row["values"] == pytest.approx(same["values"], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("probe", [restricted_loss, excluded_loss])
@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ({"name": "sparse_parity"}, {}, "expected a task of two numbers modulo p, such as binary_operations with one "
         "of x+y, x*y, x-y, x/y, got SparseParity. Remove the probe."),
        (ADDITION | {"operation": "x^2+y^2"}, {}, "expected a task of two numbers modulo p, such as binary_operations "
         "with one of x+y, x*y, x-y, x/y, got BinaryOperations with operation 'x^2+y^2'. Remove the probe."),
        ({"name": "modular_digits", "modulus": 7}, {}, "expected a task of two numbers modulo p, such as "
         "binary_operations with one of x+y, x*y, x-y, x/y, got ModularDigits with operation 'x*y'. Remove the probe."),
        (ADDITION, {"frequencies": [3, 4, 9]}, "frequencies: expected some of 1 .. 3, got [4, 9]. Change them, or "
         "leave them out."),
        (ADDITION, {"frequencies": []}, "frequencies: expected some of 1 .. 3, got none. Change them, or leave them "
         "out."),
    ],
)  # fmt: skip
def test_other_tasks_and_frequencies_are_refused(probe, task, settings, message):
    """With what is needed, what came and the cure."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        probe(given(task=task)[0], **settings)
