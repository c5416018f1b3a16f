"""Sides take turns in processes of their own."""

import multiprocessing
import os
import threading
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import SimpleNamespace

import pytest

from deepboot.bootstrap.training.execution import Execution
from deepboot.runners.bench import turns as module
from deepboot.runners.bench.opponents import Variant
from deepboot.runners.bench.turns import Crew, Harness, Lap, Naive, Stepper, Tried, lap, race, trial, turns
from deepboot.runners.run.process import guest


class Clock:
    """Time that passes only with work, on a processor that has two processes to serve."""

    def __init__(self):
        self.now = 0.0

    def work(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(module.time, "process_time", lambda: clock.now / 2)
    return clock


def test_a_lap_counts_members_and_spreads_the_evaluation_over_steps(clock):
    """Four members, a step of half a second, an evaluation of five every ten steps: half of the time is evaluation."""
    stepper = Stepper(lambda steps: clock.work(0.5 * steps), 4, lambda: clock.work(5.0), 0.1)
    assert lap(stepper, 3.0) == Lap(4.0, 8.0, 0.5)
    assert lap(Stepper(stepper.advance, 4), 3.0) == Lap(8.0, 16.0, 0.0)


def test_a_race_reports_medians_and_the_median_of_ratios():
    """Three turns, the machine half as fast in the last."""
    laps = {
        "naive": [Lap(1.0, 1.0), Lap(1.0, 1.0), Lap(0.5, 1.0)],
        "opponent": [Lap(4.0, 4.0), Lap(5.0, 5.0), Lap(2.0, 4.0)],
        "harness": [Lap(6.0, 7.0, 0.1), Lap(6.0, 7.0, 0.3), Lap(3.0, 7.0, 0.2)],
    }
    found = race("it", laps, opponent="bmm", harness="compiled", processes=2, peak_steps=24.0)
    assert (found.naive_rate, found.opponent_rate, found.harness_rate) == (1.0, 4.0, 6.0)
    assert (found.ratio_to_opponent, found.lowest_ratio, found.highest_ratio) == (1.5, 1.2, 1.5)
    assert (found.ratio_to_naive, found.evaluation_share, found.peak_share) == (6.0, 0.2, 0.25)
    assert found.processor_ratio == 1.75
    assert "2 x 1   naive       1.0   opponent       4.0   harness       6.0 steps/s" in found.line()
    assert "ratio to opponent 1.50 (1.20 to 1.50, 1.75 by processor time), to naive 6.00   25% of peak" in found.line()
    assert found.line().endswith("evaluation 20.0%   [opponent: bmm; harness: compiled]")
    assert race("it", laps, opponent="bmm", harness="compiled", single_threaded=False).processor_ratio is None


def test_sides_alternate():
    """Each does its lap before any does its next."""
    seen = []
    found = turns({"a": lambda: seen.append("a") or Lap(1.0, 1.0), "b": lambda: seen.append("b") or Lap(2.0, 2.0)}, 2)
    assert seen == ["a", "b", "a", "b"]
    assert found == {"a": [Lap(1.0, 1.0)] * 2, "b": [Lap(2.0, 2.0)] * 2}


def test_the_harness_begins_its_budget_anew_and_is_evaluated(tiny):
    """However long it is raced."""
    contest = tiny["mlp"]
    with ExitStack() as stack:
        stepper = Harness(contest.runs(3), Execution()).build(stack)
        for _ in range(3):
            stepper.advance(30)
        assert stepper.members == len(stepper.evaluate()) == 3
        assert stepper.evaluate()[0]["step"] == 30
        assert stepper.evaluations_per_step > 0


class Thread(threading.Thread):
    """In the place of a process, which takes seconds to begin."""

    def __init__(self, *, target, args, daemon):
        end, *others = args
        super().__init__(target=target, args=(Connection(os.dup(end.fileno())), *others), daemon=daemon)

    def kill(self):
        assert not self.is_alive()


def takes_turns(processes):
    """One side after another in the same processes; what fails is a sentence and the rate 0."""
    said = []
    with Crew(processes, 1) as crew:
        assert crew.build(Naive("mlp")) is None
        assert crew.lap(0.01).rate > 0
        assert trial(crew, Tried("mlp", Variant("bmm", 2)), said.append, "bmm") > 0
        assert trial(crew, Tried("nothing", Variant()), said.append, "nothing") == 0
    assert said[0].startswith("bmm: ")
    assert said[1] == "nothing: KeyError: 'nothing'"


def test_what_processes_do(monkeypatch):
    """Seen with a thread in the place of a process."""
    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Thread)
    monkeypatch.setattr(module, "multiprocessing", SimpleNamespace(get_context=lambda method: context))
    monkeypatch.setattr(module.logging, "disable", lambda level: None)
    monkeypatch.setattr(module, "TRIAL_SECONDS", 0.02)
    with guest():
        takes_turns(1)


def test_rates_of_processes_are_added(monkeypatch):
    """Shares of the evaluation are averaged."""
    crew = Crew(0, 1)
    monkeypatch.setattr(crew, "_ask", lambda seconds: [Lap(1.0, 3.0, 0.1), Lap(2.0, 4.0, 0.3)])
    assert crew.lap(1.0) == Lap(3.0, 7.0, 0.2)


@pytest.mark.slow
def test_processes_take_turns():
    """Two of them."""
    takes_turns(2)
