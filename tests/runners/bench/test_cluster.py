"""Figures of the overhead of Ray, from given seconds; and, where Ray is, from packs of an instant."""

import pytest

from deepboot.runners.bench import cluster


def test_overheads_are_medians_of_the_turns_ratios():
    """A machine that is twice as slow in one turn is so for all sides."""
    seconds = {"local": [10.0, 20.0, 10.0], "ray": [10.5, 20.0, 10.2], "apart": [11.0, 24.0, 10.1]}
    found = cluster.overhead(seconds, workers=2, member_steps=500)
    assert (found.rate, found.ray_rate, found.apart_rate) == pytest.approx((100.0, 1_000 / 10.5, 1_000 / 11))
    assert (found.overhead, found.apart_overhead) == pytest.approx((0.02, 0.1))
    assert (found.lowest, found.highest) == pytest.approx((0.0, 0.05))
    assert "2 workers   packs of  10.0 s" in found.line()
    assert "overhead +2.0% (+0.0% to +5.0%) = +0.20 s a pack; nothing shared +10.0%" in found.line()


def test_packs_are_made_as_long_as_they_are_to_be():
    """Though each takes two seconds beside its steps, of which there are a thousand a second."""
    steps = cluster._steps(10.0, lambda steps: 2.0 + steps / 1_000)
    assert 2.0 + steps / 1_000 == pytest.approx(10.0, rel=0.5)
    assert cluster._steps(1.0, lambda steps: steps / 10) == 10


class Failing:
    """A worker whose pack fails, or who dies."""

    node = ""

    def __init__(self, *messages):
        self.messages = list(messages)

    def ask(self, job):
        pass

    def message(self):
        return self.messages.pop(0) if self.messages else None

    def ended(self):
        return "its node is gone"


def test_a_side_that_fails_has_no_figures(tmp_path):
    """The reason is said."""
    jobs = cluster._jobs(cluster._runs(4), tmp_path, "local", 1, 1.0)
    failed = {"result": {"failures": [{"reason": "planted"}]}}
    with pytest.raises(RuntimeError, match="a pack of the benchmark failed: planted"):
        cluster._turn([Failing({"steps": 3}, failed)], jobs)
    with pytest.raises(RuntimeError, match=r"a worker of the benchmark died \(its node is gone\)"):
        cluster._turn([Failing()], jobs)


@pytest.mark.cluster
def test_all_sides_train_their_packs():
    """With one worker and with two; rates are of the same steps."""
    pytest.importorskip("ray")
    found = list(cluster.overheads(pack_seconds=0.2, times=1))
    assert [one.workers for one in found] == [1, 2]
    assert all(min(one.rate, one.ray_rate, one.apart_rate) > 0 for one in found)
