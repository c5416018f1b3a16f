import pytest
import torch
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from deepboot.bootstrap import streams
from deepboot.datasets.shapes import scenes
from deepboot.datasets.shapes import task as shapes
from deepboot.datasets.shapes.outlines import OUTLINES, edges, inside
from deepboot.datasets.shapes.task import Shapes

KEY_E2 = streams.keys((0, 1), "data")
CACHED = (scenes._ranges, scenes._turns, shapes._grid, edges)
PLAIN = {"clutter": 0.0, "occlusion": 0.0, "noise": 0.0, "turn": 0.0, "dark": 0.0}
SMALL = Shapes(size=16)


def drawn(count, start=0, **settings):
    """Images and labels of one member."""
    x, y = Shapes(size=16, **settings).sample(KEY_E2[:1], torch.arange(start, start + count)[None])
    return x[0], y[0]


@pytest.mark.parametrize("block", [1, 16 * 16, 7 * 16 * 16, 1 << 17])
def test_any_chunking_gives_the_same_bytes(monkeypatch, block):
    """An image does not depend on what is drawn beside it, nor on how many are drawn at a time."""
    index = torch.arange(90).view(2, 5, 9) * 977 + (1 << 40)
    whole = SMALL.sample(KEY_E2, index)
    monkeypatch.setitem(shapes._BLOCK, "cpu", block)
    again = SMALL.sample(KEY_E2, index)
    alone = SMALL.sample(KEY_E2[1:], index[1:, 3:4, 2:3])
    assert torch.equal(again.x, whole.x)
    assert torch.equal(alone.x[0, 0, 0], whole.x[1, 3, 2])
    assert torch.equal(alone.y[0, 0, 0], whole.y[1, 3, 2])


def test_the_bytes_are_the_known_ones():
    """Images that other machines drew before: a change of them needs a new ``version``."""
    x, y = drawn(64)
    assert y[:8].tolist() == [3, 0, 6, 0, 1, 6, 9, 2]
    assert x.long().sum().item() == 4_198_878


def test_nothing_waits_for_a_gpu_and_nothing_pretended_is_kept(monkeypatch):
    """Fake tensors of a GPU that does not exist have no values to ask for; real images after them are the same."""
    before = Shapes(size=8).sample(KEY_E2, torch.arange(6).view(2, 3))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    for cached in CACHED:
        cached.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, y = Shapes(size=8).sample(KEY_E2.to("cuda"), torch.arange(6, device="cuda").view(2, 3))
    assert (x.device.type, y.device.type) == ("cuda", "cuda")
    after = Shapes(size=8).sample(KEY_E2, torch.arange(6).view(2, 3))
    assert torch.equal(after.x, before.x)


def test_classes_are_fair_and_settings_do_not_change_labels():
    """Each class is drawn alike often, by a chi-square test; labels are by key and index alone."""
    y = Shapes(size=8).sample(KEY_E2[:1], torch.arange(10_000)[None]).y[0]
    assert stats.chisquare(torch.bincount(y, minlength=10)).pvalue > 0.01
    assert torch.equal(drawn(50)[1], y[:50])
    assert torch.equal(drawn(50, **PLAIN)[1], y[:50])


@pytest.mark.parametrize("setting", ["clutter", "occlusion", "noise", "turn", "dark"])
def test_each_setting_changes_the_images_it_speaks_of(setting):
    """At 0 and at 1 images differ, all of them but for bars of those that none would hit; labels stay."""
    low, high = (drawn(40, **PLAIN | {setting: value}) for value in (0.0, 1.0))
    changed = (low[0] != high[0]).flatten(1).any(1)
    assert changed.float().mean() > 0.9
    assert torch.equal(low[1], high[1])


def test_noise_has_the_standard_deviation_it_says():
    """The pixels of a plain image, away from black and white, move by their image's share of the largest."""
    still, noisy = (drawn(300, **PLAIN | {"noise": value})[0].float() for value in (0.0, 0.1))
    inner = (still > 80) & (still < 175)
    moved = (noisy - still)[inner]
    # A share that is uniform in 0 .. 1 has a mean square of 1/3.
    assert moved.mean().abs() < 0.3
    assert moved.std().item() == pytest.approx(255 * 0.1 / 3**0.5, rel=0.1)


def test_shapes_move_grow_and_change_colour():
    """Where the shape is, how much of the image it fills and what colours there are differ between images."""
    x = drawn(200, **PLAIN)[0].float()
    light = x.mean(1) - x.mean(1)[:, :1, :1]  # nothing reaches the corner
    weight = (light > 20).float()
    area = weight.mean((1, 2))
    along = torch.linspace(-1, 1, 16)
    for centre in ((weight.mean(1) * along).sum(-1), (weight.mean(2) * along).sum(-1)):
        assert (centre / (16 * area)).std() > 0.15
    assert area.std() > 0.03
    assert 0.1 < area.mean() < 0.35
    assert (x[:, :, 0, 0].std(0) > 30).all()
    assert (x.amax((2, 3)).std(0) > 15).all()


def test_a_linear_rule_on_pixels_is_near_chance():
    """The nearest mean image of a class, from 4,000 images, is right hardly more often than one in ten."""
    x, y = drawn(5_000)
    pixels = SMALL.decode(x).flatten(1)
    means = torch.stack([pixels[:4_000][y[:4_000] == label].mean(0) for label in range(10)])
    right = (torch.cdist(pixels[4_000:], means).argmin(1) == y[4_000:]).float().mean()
    assert right < 0.2


def test_outlines_have_one_area_and_are_told_apart():
    """Every outline covers a unit disc's area, and differs from any other by a tenth of it or more."""
    side = torch.linspace(-2.5, 2.5, 201)
    x, y = (part.flatten().expand(len(OUTLINES), -1) for part in torch.meshgrid(side, side, indexing="xy"))
    cover = inside(x.clone(), y.clone(), torch.arange(len(OUTLINES)), torch.full((len(OUTLINES), 1), 40.0))
    assert (cover.sum(1) * 0.025**2 / torch.pi).tolist() == pytest.approx([1.0] * 5, abs=0.02)
    apart = torch.cdist(cover, cover, p=1) * 0.025**2 / torch.pi
    assert (apart + torch.eye(5) > 0.1).all()
    facing, reach = edges()
    assert facing.min() > 0.2
    assert reach.min() > 0


def test_texture_is_told_apart_by_the_noise_free_image():
    """A shape's stripes vary along one direction only, its checks along two: seen in a plain image's middle."""
    look, key, index = Shapes(**PLAIN), KEY_E2[:1].expand(400, 2), torch.arange(400)
    striped, checked = (scenes.draw(look, key, index, torch.full((400,), label)) for label in (0, 1))
    for scene, varies in ((striped, False), (checked, True)):
        second = torch.cat((scene.across_FL1[1], scene.down_FL1[1]), 1).norm(dim=1)
        assert ((second > 1) if varies else (second == 0)).all()
    assert torch.equal(striped.across_FL1[0], checked.across_FL1[0])


def test_a_shown_image_names_its_class():
    """The text has the label and its name."""
    x, y = drawn(1)
    assert SMALL.show(x[0], y[0]).endswith(f"-> {y.item()}, {Shapes.class_names[y[0]]}")
    assert Shapes.class_names[:3] == ("striped disc", "checked disc", "striped square")
