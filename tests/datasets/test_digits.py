import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch._subclasses.fake_tensor import FakeTensorMode

from deepboot.bootstrap import streams
from deepboot.datasets import digits, fit_digits
from deepboot.datasets.digits import Digits

KEY_E2 = streams.keys((0, 1), "data")
CACHED = (digits._parameters,)


def drawn(count):
    """Images of one member, flat and in 0 .. 1, and their labels."""
    x, y = Digits().sample(KEY_E2[:1], torch.arange(count)[None])
    return x[0].flatten(1).numpy() / 255, y[0].numpy()


def test_any_chunking_gives_the_same_bytes(monkeypatch):
    """An image does not depend on what is drawn beside it, nor on how many are drawn at a time."""
    index = torch.arange(90).view(2, 5, 9) * 977 + (1 << 40)
    whole = Digits().sample(KEY_E2, index)
    monkeypatch.setitem(digits._BLOCK, "cpu", 7)
    assert torch.equal(Digits().sample(KEY_E2, index).x, whole.x)
    assert torch.equal(Digits().sample(KEY_E2[1:], index[1:, 3:4, 2:3]).x[0, 0, 0], whole.x[1, 3, 2])


def test_nothing_waits_for_a_gpu_and_nothing_pretended_is_kept(monkeypatch):
    """Fake tensors of a GPU that does not exist have no values to ask for; real images after them are the same."""
    before = Digits().sample(KEY_E2, torch.arange(6).view(2, 3))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    for cached in CACHED:
        cached.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, y = Digits().sample(KEY_E2.to("cuda"), torch.arange(6, device="cuda").view(2, 3))
    assert (x.device.type, y.device.type) == ("cuda", "cuda")
    after = Digits().sample(KEY_E2, torch.arange(6).view(2, 3))
    assert torch.equal(after.x, before.x)


def test_classes_are_fair_and_images_vary():
    """Each digit is drawn alike often, by a chi-square test; no two images are equal."""
    x, y = drawn(5_000)
    assert stats.chisquare(np.bincount(y, minlength=10)).pvalue > 0.01
    assert len(np.unique(x, axis=0)) == len(x)
    assert x.min() == 0
    assert x.max() == 1


def test_what_is_learned_of_drawn_digits_holds_for_recorded_ones():
    """The nearest of 2,000 drawn digits names 97 % of the recorded ones."""
    recorded = load_digits()
    right = KNeighborsClassifier(1).fit(*drawn(2_000)).score(recorded.data / 16, recorded.target)
    assert right > 0.97


def test_drawn_digits_have_the_mean_and_spread_of_recorded_ones():
    """Class by class, pixel means agree within 0.05, and the total variance within a fifth."""
    recorded = load_digits()
    x, y = drawn(10_000)
    for digit in range(10):
        here, there = x[y == digit], recorded.data[recorded.target == digit] / 16
        assert np.abs(here.mean(0) - there.mean(0)).max() < 0.05
        assert abs(here.var(0).sum() / there.var(0).sum() - 1) < 0.2


def test_the_shipped_parameters_are_those_of_the_fit():
    """``fit_digits`` makes the shapes that the file has, and shares that add up to one."""
    recorded = load_digits()
    made = fit_digits.fit(recorded.data / 16, recorded.target)
    with np.load(digits.PARAMETERS) as shipped:
        assert {name: shipped[name].shape for name in shipped} == {name: part.shape for name, part in made.items()}
        np.testing.assert_allclose(shipped["share"].astype(np.float64).sum(1), 1, atol=2e-3)
        weighted = (made["share"][..., None] * made["mean"]).sum(1, dtype=np.float64)
        np.testing.assert_allclose((shipped["share"][..., None] * shipped["mean"]).sum(1), weighted, atol=5e-3)


def test_a_digit_is_shown_as_text():
    """Eight rows of eight characters, and the label."""
    x, y = Digits().sample(KEY_E2[:1], torch.tensor([[0]]))
    text = Digits().show(x[0, 0], y[0, 0])
    rows = text.split(" -> ")[0].strip("|").split("|")
    assert [len(row) for row in rows] == [8] * 8
    assert text.endswith(f"-> {y.item()}")
