"""Augmentations: each image its own, keyed by the draw, and against torchvision's crop and flip."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from deepboot.bootstrap import streams
from deepboot.bootstrap.samples.augment import AUGMENTATIONS, PADDING, crop_flip, flip
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack
from tests.bootstrap.conftest import parity

KEY_M2 = streams.keys([1, 2], "augment")
NUMBER = torch.arange(600).view(1, 30, 20).expand(2, -1, -1)


def images(dtype=torch.uint8):
    return torch.randint(1, 256, (2, 30, 20, 3, 6, 5), generator=torch.Generator().manual_seed(0)).to(dtype)


def test_a_flip_mirrors_half_of_the_images():
    """Each is as it was or mirrored, at random."""
    x = images()
    flipped = flip(x, KEY_M2, NUMBER)
    same, mirrored = ((flipped == one).flatten(3).all(-1) for one in (x, x.flip(-1)))
    assert (same ^ mirrored).all()
    assert 500 < int(mirrored.sum()) < 700


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_crop_is_one_of_the_padded_image(dtype):
    """Every image equals exactly one crop of itself padded with zeros, flipped or not; all 81 x 2 occur."""
    x = images(dtype)
    cropped = crop_flip(x, KEY_M2, NUMBER)
    assert cropped.dtype == dtype
    padded = functional.pad(x, [PADDING] * 4)
    found = torch.zeros(x.shape[:3], dtype=torch.int64)
    kinds = []
    for top in range(2 * PADDING + 1):
        for left in range(2 * PADDING + 1):
            crop = padded[..., top : top + 6, left : left + 5]
            for one in (crop, crop.flip(-1)):
                match = (cropped == one).flatten(3).all(-1)
                found += match
                kinds.append(int(match.sum()))
    assert (found == 1).all()
    assert min(kinds) > 0
    assert max(kinds) < 30


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_is_the_same_however_draws_are_cut(name):
    """Step by step, member by member: the same images as at once, for the same draws."""
    x = images()
    whole = AUGMENTATIONS[name](x, KEY_M2, NUMBER)
    for member in range(2):
        for step in (0, 7, 29):
            alone = AUGMENTATIONS[name](
                x[member : member + 1, step : step + 1], KEY_M2[member : member + 1], NUMBER[:1, step : step + 1]
            )
            assert torch.equal(alone[0, 0], whole[member, step])


def recorded(tmp_path, **changes):
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, x=rng.integers(1, 256, (60, 6, 6, 3), dtype=np.uint8), y=rng.integers(0, 3, 60))
    return parity(task={"name": "recording", "path": str(path)}, data={"augmentation": "crop_flip"},
                  training__train_size=16, training__batch_size=8, **changes)  # fmt: skip


def test_both_worlds_see_the_same_augmented_images_until_the_first_reuse(tmp_path):
    """The first pass is bit for bit the same; later passes over the pool are augmented anew; the test is not."""
    pack = Pack(runs_of(recorded(tmp_path)))
    block = pack.data.block(0, 6)
    assert block.x.dtype == torch.uint8
    assert torch.equal(block.x[0, :2], block.x[1, :2])
    assert (block.x == 0).any()
    assert not (Evaluator(pack).test.x == 0).any()
    seen = {tuple(image.flatten().tolist()) for image in block.x[0].flatten(0, 1)}
    assert len(seen) > 16
    assert not (Evaluator(pack).pools[0][1].x == 0).any()


def test_a_full_batch_is_augmented_anew_at_every_step(tmp_path):
    """The pool's order stays, its crops do not."""
    pack = Pack(runs_of(recorded(tmp_path, training__ideal=False) | {"training": {
        "train_size": 16, "batch_size": "full", "max_steps": 3, "seeds": 1, "ideal": False}}))  # fmt: skip
    block = pack.data.block(0, 3)
    assert torch.equal(block.y[0, 0], block.y[0, 1])
    assert not torch.equal(block.x[0, 0], block.x[0, 1])


def test_only_images_are_augmented():
    """Bits and tokens are refused by name."""
    with pytest.raises(StudyError, match=r"^`data.augmentation`: only images can be augmented, got 'flip' for vector"):
        runs_of(parity(data={"augmentation": "flip"}))
