"""The rows of the benchmark, with the sides' speeds given."""

import json
from contextlib import nullcontext
from itertools import islice

import pytest

from deepboot.bootstrap.training.execution import Execution
from deepboot.runners.bench import bench
from deepboot.runners.bench.contests import ALONE, PACKED, PAIRED
from deepboot.runners.bench.opponents import Variant
from deepboot.runners.bench.turns import Harness, Lap, Naive, Tried
from deepboot.runners.run.execution_plan import ExecutionPlan, PackSettings, short_key

RATES = {"bmm of 4, eager": 30.0, "bmm of 8, compiled": 99.0, "vmap of 1, compiled": 20.0}
crews = []


class Crew:
    """Processes whose speed follows from what is built in them."""

    def __init__(self, processes, threads, device="cpu"):
        self.processes, self.threads, self.built, self.single_threaded = processes, threads, [], True
        crews.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def build(self, side):
        self.built.append(side)

    def lap(self, seconds):
        side = self.built[-1]
        if isinstance(side, Harness):
            rate = 40.0 if side.execution.compiles else 25.0
            return Lap(rate, rate, 0.02)
        rate = 10.0 if isinstance(side, Naive) else RATES.get(str(side.variant), 15.0)
        return Lap(rate, rate)


@pytest.fixture(autouse=True)
def given_speeds(monkeypatch):
    """No process is started and nothing is compiled."""

    def plan(runs, device, workers, *_):
        settings = PackSettings(pack_size=16, backend="compiled")
        return ExecutionPlan(device=device, workers=2, packs={short_key(runs[0]): settings})

    crews.clear()
    monkeypatch.setattr(bench, "Crew", Crew)
    monkeypatch.setattr(bench, "Bench", nullcontext)
    monkeypatch.setattr(bench.autotune, "choose", plan)
    monkeypatch.setattr(bench.trusted_backends, "distrust", lambda *_: None)


def test_one_run_is_raced_without_compiling_and_with_it():
    """Each side in its faster form where compiling is allowed; all have one process of one thread."""
    without, compiled = bench._alone("mlp", ALONE["mlp"])
    assert (without.opponent, without.harness, without.ratio_to_naive) == ("one run, eager", "eager", 2.5)
    assert without.ratio_to_opponent == 25 / 15
    assert (compiled.opponent, compiled.harness) == ("vmap of 1, compiled", "compiled")
    assert (compiled.ratio_to_opponent, compiled.evaluation_share) == (2.0, 0.02)
    assert {(crew.processes, crew.threads) for crew in crews} == {(1, 1)}


def test_many_runs_are_raced_with_as_many_processes_on_both_sides():
    """The opponent's best size is compiled though it is not the best of all when compiled; the naive loop is alone."""
    name = "addition, batch 64"
    found = bench._packed(name, PACKED[name], "cpu", 1e9)
    assert (found.opponent, found.harness) == ("bmm of 4, eager", "16 members, compiled")
    assert (found.processes, found.threads, found.ratio_to_opponent, found.ratio_to_naive) == (2, 1, 40 / 30, 4.0)
    assert found.peak_share > 0
    naive, opponent, harness = crews
    assert (naive.processes, naive.threads) == (1, bench.cores())
    assert (opponent.processes, harness.processes, opponent.threads, harness.threads) == (2, 2, 1, 1)
    assert opponent.built[-1] == Tried(name, Variant("bmm", 4))


def test_sixteen_runs_are_eight_in_a_process():
    """Of pairs, four real runs and their ideal ones."""
    for name, contest in PAIRED.items():
        crews.clear()
        found = bench._packed(name, contest, "cpu", 1e9)
        runs = crews[2].built[-1].runs
        assert (found.harness, len(runs)) == ("8 members, compiled", 8)
        assert [run.rule for run in runs].count("ideal") == (4 if "pairs" in name else 0)


def test_a_pack_of_one_is_a_whole_pair_where_runs_have_partners(monkeypatch):
    """What is remembered of a study's real runs may be that each is best alone."""
    alone = PackSettings(pack_size=1, backend="eager")
    monkeypatch.setattr(
        bench.autotune, "choose",
        lambda runs, device, *_: ExecutionPlan(device=device, workers=2, packs={short_key(runs[0]): alone}),
    )  # fmt: skip
    name = "parity, batch 1,250, 8 pairs"
    bench._packed(name, PAIRED[name], "cpu", 1e9)
    assert [run.rule for run in crews[2].built[-1].runs] == ["real", "ideal"]


def test_the_faster_backend_is_raced():
    """Of eager and compiled, unless compiled is not trusted."""
    runs = ALONE["mlp"].runs()
    assert bench._fastest_execution(Crew(1, 1), runs, None) == Execution(backend="compiled")


def test_an_unbuilt_side_ends_the_race(monkeypatch):
    """With the reason."""
    monkeypatch.setattr(Crew, "build", lambda crew, side: "MemoryError: none left")
    with pytest.raises(ValueError, match=r"a side of the race cannot be built: MemoryError: none left"):
        bench._build(Crew(1, 1), Naive("mlp"))


def test_an_interrupted_benchmark_keeps_what_was_measured(tmp_path):
    """After the machine and the heading come the rows, one by one, and the file holds those so far."""
    lines = bench.run(["packs"], tmp_path / "figures.json")
    machine, _, first, second = islice(lines, 4)
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["machine"] == machine
    assert [row["name"] for row in written["figures"]] == list(PACKED)[:2]
    assert first.startswith("addition, batch 64")
    assert second.startswith("addition, batch 512")
