"""Packs: what their members have in common."""

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners.run.packing import pack_key
from tests.bootstrap.conftest import parity


def key(**changes):
    """The pack key of a study's first run."""
    return pack_key(runs_of(parity(**changes))[0])


def test_members_may_differ_in_the_strength_of_their_penalty():
    """Not in its kind; and packs of before there were penalties keep their keys."""
    weak, strong = (key(training__penalty={"name": "l1", "strength": strength}) for strength in (0.1, 0.2))
    other = key(training__penalty={"name": "l2", "strength": 0.1})
    assert weak == strong
    assert len({weak, other, key()}) == 3
    assert "penalty" not in key()


def test_a_later_setting_at_its_default_is_no_part_of_a_pack_key():
    """So that a study which was interrupted before it came finds its execution plan."""
    assert key(model__single_logit=False) == key()
    assert "single_logit" not in key()
    assert key(model__single_logit=True) != key()
