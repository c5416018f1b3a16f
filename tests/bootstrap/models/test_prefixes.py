"""States that samples share are computed once: the same network, with fewer rows."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deepboot.bootstrap import streams
from deepboot.bootstrap.models import transformer
from deepboot.bootstrap.models.prefixes import shared_views
from deepboot.bootstrap.task import Tokens
from tests.bootstrap.models.test_models import built, gradient

EQUATION = Tokens(9, 4, (0, 2))
DIGITS = Tokens(9, 6, (1, 2, 4, 5), answers=2, shows_answers=True)
INPUTS = [
    EQUATION,
    DIGITS,
    Tokens(9, 4, (1, 3)),
    Tokens(6, 3, (0, 1)),
    Tokens(6, 3, (0, 1, 2)),
    Tokens(6, 3, ()),
    Tokens(9, 5, (0,), answers=5, shows_answers=True),
]


def batch_of(inputs, batch=40, members=3):
    """Random tokens where they vary, and the same everywhere else, but for each member its own."""
    index = torch.arange(batch)[None].expand(members, -1)
    x = streams.integers(streams.keys(range(members), "data"), index, inputs.length, inputs.vocab)
    for position in set(range(inputs.length)) - set(inputs.varying):
        x[..., position] = x[:, :1, position]
    return x


def outcome(inputs, x, monkeypatch, *, shared, **settings):
    """Gradients and logits in float64, with rows shared or not."""
    monkeypatch.setattr(transformer, "SAMPLES_PER_TOKEN", 0 if shared else 1_000)
    bound, _ = built("transformer", inputs, dtype=torch.float64, width=8, heads=2, **settings)
    return gradient(bound, x, torch.sin)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize(
    "settings", [{}, {"layers": 1}, {"layers": 3, "norm": "post"}, {"norm": "none", "bias": False}]
)
def test_shared_rows_give_the_logits_and_gradients_of_rows_of_their_own(inputs, settings, monkeypatch):
    """To rounding, for every member, wherever the varying tokens and the answers are."""
    x = batch_of(inputs)
    (grad, logits), (own_grad, own_logits) = (
        outcome(inputs, x, monkeypatch, shared=shared, **settings) for shared in (True, False)
    )
    assert logits.shape == own_logits.shape
    torch.testing.assert_close(logits, own_logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(grad, own_grad, rtol=1e-10, atol=1e-12)


def test_a_batch_shares_rows_from_two_samples_a_token_on():
    """Smaller batches have rows of their own: the logits of a sample then differ by rounding alone."""
    bound, _ = built("transformer", EQUATION, width=8, heads=2)
    x = batch_of(EQUATION, 18)
    with FlopCounterMode(display=False) as shared:
        logits = bound(x)
    with FlopCounterMode(display=False) as own:
        fewer = bound(x[:, :17])
    assert shared.get_total_flops() < own.get_total_flops()
    torch.testing.assert_close(logits[:, :17], fewer, rtol=0, atol=1e-5)


def test_the_products_of_powers_network_are_nearly_halved(monkeypatch):
    """Two layers of width 128 over a, o, b, = modulo 97, batches of 512."""
    inputs, counts = Tokens(99, 4, (0, 2)), []
    for samples in (2, 1_000):
        monkeypatch.setattr(transformer, "SAMPLES_PER_TOKEN", samples)
        bound, _ = built("transformer", inputs, streams.keys([0], "init"), width=128, heads=4, classes=97)
        with FlopCounterMode(display=False) as counter:
            bound(batch_of(inputs, 512, 1))
        counts.append(counter.get_total_flops())
    assert 1.6 < counts[1] / counts[0] < 1.8


def test_views_read_the_rows_that_hold_a_samples_tokens():
    """The table's rows are token * length + position; later ones are the first token's, then the sample's own."""
    x = torch.tensor([[[3, 7, 5, 8], [4, 7, 6, 8]]])
    first, last = shared_views(EQUATION, 2, x)
    assert first[1].input_row.tolist() == [[[12, 29, 22, 35], [16, 29, 26, 35]]]
    assert first[0].input_row[0, :2].tolist() == [[0, 29], [4, 29]]
    (samples,) = last
    assert samples.input_row.tolist() == [[[6, 7, 18, 19], [8, 9, 20, 21]]]
    assert [(view.rows, view.queries) for view in (*first, samples)] == [(9, 2), (2, 2), (2, 1)]
