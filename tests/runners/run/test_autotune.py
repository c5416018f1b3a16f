"""How a study is carried out: chosen from trials, kept with the folder, restored; packs halved for memory."""

import json
from typing import ClassVar, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save

from deepboot.bootstrap.samples.batches import Block
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training import pack as packs
from deepboot.bootstrap.training.backend import Batch, Eager
from deepboot.bootstrap.training.execution import BACKENDS, Execution
from deepboot.bootstrap.training.pack import Pack
from deepboot.reports import time_axis
from deepboot.runners import cli_options, run_study
from deepboot.runners.run import autotune, checkpoints, engine, execute, local, trial, work
from deepboot.runners.run.crew import Bench
from deepboot.runners.run.execution_plan import PLAN_FILE, ExecutionPlan, read_plan
from deepboot.runners.run.local import Processes
from deepboot.runners.run.trial import Rate, Trial, measure
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal, tables


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """What is remembered of a machine lies in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "deep-bootstrap" / "packs.json"


def study_of(seeds, steps=200_000):
    """Runs of a study that a core takes long for."""
    return runs_of(parity(training__seeds=seeds, training__max_steps=steps))


class Machine:
    """Answers trials with given rates, by members, backend and threads, and remembers them."""

    def __init__(self, rates, threads_rate=0.0, problem="no compiler", sequential_rate=0.0):
        self.rates, self.threads_rate, self.problem = rates, threads_rate, problem
        self.sequential_rate, self.asked = sequential_rate, []

    def __call__(self, trial, workers):
        members, execution = len(trial.runs), trial.execution
        self.asked.append((members, execution.backend, execution.threads, workers))
        if execution.sequential:
            return Rate(rate=self.sequential_rate, member_bytes=1)
        if execution.threads > 1:
            return Rate(rate=self.threads_rate, member_bytes=1)
        rate = self.rates.get((members, execution.backend))
        return Rate(rate=rate, member_bytes=1) if rate else Rate(rate=0.0, problem=self.problem)


def chosen(machine, runs, device="cpu", workers=2, threads=2):
    plan = autotune.choose(runs, device, workers, threads, [], machine)
    (settings,) = plan.packs.values()
    return plan, settings


def test_the_fastest_number_of_members_is_chosen_and_remembered(memory):
    """Four times as many are tried while that pays; the second study of that shape is not tried again."""
    runs = study_of(64)
    machine = Machine({(2, "eager"): 10_000, (8, "eager"): 14_000, (32, "eager"): 14_200, (8, "compiled"): 14_100})
    plan, settings = chosen(machine, runs)
    assert (settings.pack_size, settings.backend, plan.workers, plan.threads) == (8, "eager", 2, 1)
    assert [asked[:2] for asked in machine.asked[:4]] == [(2, "eager"), (8, "eager"), (32, "eager"), (8, "compiled")]
    assert "8 members, eager: 14,000 member steps/s" in settings.measured
    assert json.loads(memory.read_text())
    again = Machine({})
    _, settings_again = chosen(again, runs, threads=1)
    assert settings_again.pack_size == 8
    assert again.asked == []


def test_a_faster_compiled_program_is_taken_and_a_missing_compiler_recorded():
    """It is tried once, at the best number of members; where there is none the reason is kept."""
    rates = {(2, "eager"): 10_000, (8, "eager"): 10_000}
    plan, settings = chosen(Machine({**rates, (2, "compiled"): 20_000}), study_of(64), threads=1)
    assert (settings.backend, plan.compiler) == ("compiled", "found")
    plan, settings = chosen(
        Machine(rates), runs_of(parity(model__width=17, training__seeds=64, training__max_steps=200_000))
    )
    assert (settings.backend, plan.compiler) == ("eager", "none that torch can use (no compiler)")
    assert "2 members, compiled: no compiler" in settings.measured


def test_a_short_study_is_not_tried_and_a_middling_one_once():
    """What takes two minutes at most costs no trial; of what turns out to take less, no further pack is tried."""
    machine = Machine({(2, "eager"): 100_000})
    plan = autotune.choose(study_of(2, steps=100), "cpu", 2, 2, [], machine)
    assert machine.asked == []
    assert plan.summary == "2 processes of 1 threads, packs of up to 2 members, eager"
    _, settings = chosen(machine, study_of(18), threads=1)
    assert (settings.pack_size, len(machine.asked)) == (9, 1)


def test_a_short_study_is_packed_untried():
    """Up to sixteen members, as many packs a process; of a large step one family, and nothing is planned on a GPU."""
    untried = Machine({})
    for seeds, members in ((2, 2), (9, 9), (16, 16), (17, 9)):
        (settings,) = autotune.choose(study_of(seeds, steps=20), "cpu", 2, 1, [], untried).packs.values()
        assert (settings.pack_size, settings.backend) == (members, "eager")
    large = runs_of(
        parity(model={"name": "mlp", "width": 4_096, "depth": 2}, training__seeds=9, training__max_steps=20)
    )
    assert autotune.operations_per_step(large[0]) > autotune.UNTRIED_OPERATIONS
    (settings,) = autotune.choose(large, "cpu", 2, 1, [], untried).packs.values()
    assert settings.pack_size == 2
    assert autotune.choose(study_of(9, steps=20), "cuda", 1, 1, [], untried).packs == {}


def test_a_convolution_counts_once_per_pixel(tmp_path):
    """Of a small CNN by hand; an MLP's weights count once."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", x=rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), y=np.arange(20) % 2)
    images = {"task": {"name": "recording", "path": str(tmp_path / "images.npz")}, "data": {"allow_reuse": True},
              "training__train_size": 8}  # fmt: skip
    (run, _) = runs_of(parity(**images, model={"name": "cnn", "width": 2, "batch_norm": False}))
    weights = [(3 * 9 + 1) * 2, (2 * 9 + 1) * 4, (4 * 9 + 1) * 8, (8 * 9 + 1) * 16]
    assert autotune.products(run) == sum(w * p for w, p in zip(weights, (64, 64, 16, 4), strict=True)) + 16 * 2 + 2
    (run, _) = runs_of(parity())
    assert autotune.products(run) == Pack([run]).param_EP.shape[1]


def test_all_workers_keep_something_to_do():
    """Four pairs on two workers are never put into one pack, thirteen into two and one."""
    machine = Machine({(2 * count, "eager"): 100 * count for count in range(1, 17)})
    _, settings = chosen(machine, study_of(4), threads=1)
    assert settings.pack_size == 4
    _, settings = chosen(machine, study_of(13, steps=200_001), threads=1)
    assert settings.pack_size == 12


def test_large_models_are_stepped_one_after_another_where_that_is_faster():
    """It is tried where a step takes long, and taken if it is faster; larger packs are then not tried."""
    runs = study_of(64)
    machine = Machine({(2, "eager"): 100, (4, "eager"): 90, (2, "compiled"): 90}, sequential_rate=120)
    plan, settings = chosen(machine, runs, threads=1)
    assert (settings.sequential, settings.pack_size) == (True, 2)
    assert "2 members one after another, eager: 120 member steps/s" in settings.measured
    assert plan.summary == "2 processes of 1 threads, packs of one member at a time, eager"
    assert (4, "eager", 1, 2) not in machine.asked
    other = runs_of(parity(model__width=17, training__seeds=64, training__max_steps=200_000))
    _, settings = chosen(Machine({(2, "eager"): 100, (4, "eager"): 90}, sequential_rate=90), other, threads=1)
    assert not settings.sequential


def test_a_trial_counts_what_is_stored_once_once():
    """An expanded tensor takes no more than its memory, a part of a tensor no more than itself."""
    stored = torch.zeros(6)
    assert trial._bytes(stored[None].expand(1_000, -1)) == 24
    assert trial._bytes(stored[:2]) == 8


@pytest.mark.parametrize(("device", "backend"), [("cpu", "eager"), ("cuda", "graphed")])
@pytest.mark.parametrize("slow", [True, False])
def test_members_are_tried_one_after_another_where_one_may_fill_the_device(device, backend, slow, monkeypatch):
    """By the rate of a pair, below a rate of each device's own."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "none")
    monkeypatch.setattr(autotune, "free_memory", lambda device: 0)
    limit = autotune.SEQUENTIAL_RATE[device]
    machine = Machine({(2, backend): limit * (0.9 if slow else 1.1)}, sequential_rate=10 * limit)
    _, settings = chosen(machine, study_of(64), device=device, workers=1, threads=1)
    assert settings.sequential == slow


def test_a_pack_size_of_one_steps_the_runs_of_a_pair_one_after_another(study, tmp_path, monkeypatch):
    """The tables are those of the pair stepped at once: an MLP's weights are equal to the last bit."""
    path = study(training__seeds=2)
    run_study(path, tmp_path / "pairs", workers=1, pack_size=2)
    run_study(path, tmp_path / "single", workers=1, pack_size=1)
    plan = read_plan(tmp_path / "single")
    assert [settings.sequential for settings in plan.packs.values()] == [True]
    equal(tmp_path / "pairs", tmp_path / "single")


def test_one_process_takes_all_threads_where_that_is_faster():
    """A single pair is given both cores if they help it."""
    plan, _ = chosen(Machine({(2, "eager"): 100, (2, "compiled"): 90}, threads_rate=150), study_of(1, steps=2_000_000))
    assert (plan.workers, plan.threads) == (1, 2)
    plan, _ = chosen(Machine({(2, "eager"): 100, (2, "compiled"): 90}, threads_rate=90), study_of(1, steps=2_000_000))
    assert (plan.workers, plan.threads) == (2, 1)


def test_memory_bounds_the_members(monkeypatch):
    """No more are tried than half of the free memory holds."""
    monkeypatch.setattr(autotune, "free_memory", lambda device: 40)
    machine = Machine({(2 * count, "eager"): 100.0 * count for count in autotune.FAMILIES["cpu"]})
    _, settings = chosen(machine, study_of(64), threads=1)
    assert settings.pack_size == 8  # 32 members on each of 2 workers would take 64 of 40 bytes


def test_a_graph_that_cannot_be_captured_leaves_a_gpu_eager(monkeypatch):
    """Replaying is tried first on a GPU, and the eager backend where it fails."""
    monkeypatch.setattr(autotune, "free_memory", lambda device: 1 << 40)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    sizes = {(2 * count, "eager"): 100.0 * count for count in autotune.FAMILIES["cuda"]}
    _, settings = chosen(Machine(sizes), study_of(64), device="cuda", workers=1, threads=1)
    assert (settings.backend, settings.pack_size) == ("eager", 128)
    sizes = {(2 * count, "graphed"): 100.0 * count for count in autotune.FAMILIES["cuda"]}
    other = runs_of(parity(model__width=17, training__seeds=64, training__max_steps=200_000))
    _, settings = chosen(Machine(sizes), other, device="cuda", workers=1, threads=1)
    assert (settings.backend, settings.pack_size) == ("graphed", 128)


class Replayed(Eager):
    """Does the steps of a block at once, as a GPU's graphs do, and notes how many."""

    lengths: ClassVar[list[int]] = []

    def block_steps(self, remaining):
        return 1 << (min(remaining, 16).bit_length() - 1)

    def stride(self, longest):
        return self.block_steps(longest)

    def batches(self, block, coefficients):
        yield Batch(block.x, block.y, coefficients, block.steps)

    def update(self, batch):
        self.lengths.append(batch.steps)
        for single in Eager.batches(self, Block(batch.x, batch.labels), batch.coefficients):
            super().update(single)


def test_a_trial_times_replays_and_no_captures(monkeypatch):
    """Every length that is timed was done before, so that its graph is there."""
    monkeypatch.setattr(packs, "backend_of", lambda execution, groups, step, cache: Replayed(groups, step))
    monkeypatch.setattr(Replayed, "lengths", [])
    runs = runs_of(parity(training__seeds=2, training__max_steps=10_000))
    assert measure(Trial(runs=runs, trial_seconds=0.05)).rate > 0
    assert Replayed.lengths[:2] == [16, 16]
    assert set(Replayed.lengths[2:]) == {16}


def test_a_trial_tells_rate_and_memory_or_the_reason():
    """A working pack has a rate; what fails is part of the answer."""
    runs = runs_of(parity(training__seeds=2, training__max_steps=10_000))
    found = measure(Trial(runs=runs, trial_seconds=0.05))
    assert found.problem is None
    assert found.rate > 100
    assert found.member_bytes > Pack(runs).param_EP.numel() * 4 * 4 / 4
    failed = measure(Trial(runs=runs, execution=Execution(device="nowhere" if torch.cuda.is_available() else "cuda")))
    assert failed.rate == 0
    assert failed.problem is not None


def test_trials_run_in_workers_at_once():
    """Rates of two workers are added; one that fails tells why."""
    runs = runs_of(parity(training__seeds=1, training__max_steps=10_000))
    with Bench(Processes()) as bench:
        found = bench(Trial(runs=runs, trial_seconds=0.05), 2)
        assert found.problem is None
        assert found.rate > 100
        broken = [run.model_copy(update={"loss": {"name": "nothing"}}) for run in runs]
        assert bench(Trial(runs=broken, trial_seconds=0.05), 2).problem.startswith("ValueError: ")


def test_a_plan_is_restored_with_its_folder(study, tmp_path, monkeypatch):
    """The second command uses the pack size and backend of the first; a person's settings go before them."""
    path, out = study(training__seeds=4), tmp_path / "out"
    run_study(path, out, changes=["training.seeds=2"], workers=1, pack_size=4)
    assert [settings.pack_size for settings in read_plan(out).packs.values()] == [4]
    monkeypatch.setattr(autotune, "choose", lambda *_: pytest.fail("measured again"))
    jobs = []
    monkeypatch.setattr(local, "run_jobs", lambda found, **_: jobs.extend(found) or [])
    with pytest.raises(engine.TrainingError):  # nothing was done
        run_study(path, out, workers=1)
    assert [len(job.runs) for job in jobs] == [4]
    jobs.clear()
    with pytest.raises(engine.TrainingError):
        run_study(path, out, workers=1, pack_size=2)
    assert [len(job.runs) for job in jobs] == [2, 2]


@pytest.mark.parametrize("early", [False, True])
def test_a_checkpoint_is_gone_on_from_as_it_was_begun(early, tmp_path, monkeypatch):
    """Threads and order of the checkpoint go before those of the job, also where version 0.2 wrote it."""
    runs = runs_of(parity())
    taken = []
    execute.train(runs, on_steps=lambda steps, snapshot: taken.append(snapshot()))
    before = Execution(backend="compiled", threads=2, sequential=True)
    checkpoints.write_checkpoint(tmp_path, "pack", taken[2], before)
    if early:
        path = tmp_path / "checkpoints" / "pack.safetensors"
        with safe_open(path, framework="pt") as file:
            outcomes = file.metadata()["outcomes"]
        manner = json.dumps({"program": "compiled", "threads": 2, "apart": True, "device": None})
        path.write_bytes(save(load_tensors(path), metadata={"outcomes": outcomes, "manner": manner}))
    seen = {}

    def train(_, execution, *, resume_from, **__):
        seen.update(execution=execution, step=int(resume_from[0].state["step"]), threads=torch.get_num_threads())
        execute.stopping.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "train", train)
    job = execute.Job(name="pack", folder=str(tmp_path), runs=runs, execution=Execution(backend="compiled"))
    with pytest.raises(KeyboardInterrupt):
        execute.execute(job, lambda *_: None, lambda sentence: None)
    execute.stopping.clear()
    torch.set_num_threads(1)
    assert seen == {"execution": before, "step": 3, "threads": 2}


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        (Execution(backend="graphed", device="cuda"), "cuda (graphed)"),
        (Execution(device="cuda"), "cuda (eager)"),
        (Execution(backend="compiled"), "cpu (compiled)"),
    ],
)
def test_a_pack_begun_on_a_gpu_goes_on_on_a_cpu(begun, said, tmp_path):
    """Or with a backend that is not trusted any more: from its step, as the job says, with a word about bits."""
    runs = runs_of(parity())
    taken, told = [], []
    (tmp_path / "shards").mkdir()
    whole = execute.train(runs, on_steps=lambda steps, snapshot: taken.append(snapshot()))
    checkpoints.write_checkpoint(tmp_path, "pack", taken[2], begun)
    job = execute.Job(name="pack", folder=str(tmp_path), runs=runs)
    assert execute.execute(job, lambda *_: None, told.append) == execute.JobResult()
    assert told == [f"pack pack was begun on {said} and goes on on cpu (eager). Its last bits may differ."]
    rows = json.loads((tmp_path / "shards" / "pack.json").read_text())["evaluations"]
    assert str(rows) == str([row for outcome in whole for row in outcome.rows])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_pack_that_does_not_fit_is_halved(study, tmp_path, monkeypatch, capfd, error):
    """Packs of more than one pair fail for memory: halves are done instead, and the tables are the same."""
    path = study(training__seeds=5)
    run_study(path, tmp_path / "pairs", workers=1)
    train = execute.train

    def small(runs, execution, **settings):
        if len(runs) > 2:
            raise error
        return train(runs, execution, **settings)

    monkeypatch.setattr(execute, "train", small)
    told = []
    monkeypatch.setattr(engine.Observer, "progress", lambda self, steps, rows: told.append(steps))
    run_study(path, tmp_path / "halves", workers=1, pack_size=64)
    equal(tmp_path / "pairs", tmp_path / "halves")
    assert sum(told) == 10 * 6
    assert "of 10 runs does not fit into memory. It goes on in two halves." in capfd.readouterr().err


def test_a_pair_that_does_not_fit_goes_on_one_run_at_a_time(study, tmp_path, monkeypatch, capfd):
    """What is left when a family cannot be halved."""
    path = study()
    run_study(path, tmp_path / "pairs", workers=1)
    train = execute.train

    def small(runs, execution, **settings):
        if not execution.sequential:
            raise MemoryError
        return train(runs, execution, **settings)

    monkeypatch.setattr(execute, "train", small)
    run_study(path, tmp_path / "single", workers=1)
    equal(tmp_path / "pairs", tmp_path / "single")
    assert "of 2 runs does not fit into memory. It goes on one run at a time." in capfd.readouterr().err


def test_a_pair_that_does_not_fit_fails_with_the_reason(study, tmp_path, monkeypatch):
    """Neither at once nor one run at a time."""

    def none(runs, execution, **_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(execute, "train", none)
    with pytest.raises(engine.TrainingError, match="DefaultCPUAllocator"):
        run_study(study(), tmp_path / "out", workers=1)


def test_kept_weights_lie_in_the_folder(study, tmp_path):
    """At every evaluation of every run, readable with numpy alone."""
    out = tmp_path / "out"
    found = run_study(study(keep={"weights": "evaluations"}), out, workers=1)
    names = {path.name for path in (out / "weights").iterdir()}
    rows = found.evaluations
    assert names == {f"{run}-{step}.safetensors" for run, step in zip(rows["run_id"], rows["step"], strict=True)}
    weights = load_file(next((out / "weights").iterdir()))
    assert weights["output.bias"].shape == (1, 2)


def test_a_stopped_pair_is_done_and_one_that_was_not_starts_over_with_a_longer_budget(study, tmp_path):
    """Extending the budget leaves stopped runs alone; the tables are those of the longer study from the start."""
    path = study(
        training__seeds=3, training__max_steps=40, evaluation__schedule=5,
        stop={"metric": "test_loss", "at_most": 0.7505, "streak": 2},
    )  # fmt: skip
    whole = run_study(path, tmp_path / "whole", workers=1)
    assert set(whole.runs["last_step"]) > {10}
    run_study(path, tmp_path / "extended", workers=1, changes=["training.max_steps=20"])
    run_study(path, tmp_path / "extended", workers=1)
    equal(tmp_path / "whole", tmp_path / "extended")
    stopped = pd.read_parquet(tmp_path / "whole" / "runs.parquet")
    assert (stopped["facts.stopped"] == (stopped["last_step"] < 40)).all()
    assert work.plan(path, tmp_path / "whole").pending == 0


def test_a_study_with_a_stop_rule_extended_by_a_pool_is_the_one_made_at_once(study, tmp_path):
    """What was trained before stays, and the tables are those of all pools from the start."""
    changed = {
        "training__seeds": 3, "training__max_steps": 40, "evaluation__schedule": 5,
        "stop": {"metric": "test_loss", "at_most": 0.7505, "streak": 2},
    }  # fmt: skip
    path = study(**changed, training__train_size=[12, 24])
    whole = run_study(path, tmp_path / "whole", workers=1, pack_size=12)
    run_study(path, tmp_path / "extended", workers=1, pack_size=12, changes=["training.train_size=[24]"])
    before = pd.read_parquet(tmp_path / "extended" / "runs.parquet").set_index("run_id")["last_step"]
    run_study(path, tmp_path / "extended", workers=1, pack_size=12)
    for one, other in zip(tables(tmp_path / "whole"), tables(tmp_path / "extended"), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-5)  # pools evaluated beside each other round differently
    assert whole.runs.set_index("run_id").loc[before.index, "last_step"].equals(before)
    pairs = whole.runs.merge(whole.runs, left_on="ideal_run_id", right_on="run_id")
    assert len(pairs) == 6
    assert (pairs["last_step_x"] == pairs["last_step_y"]).all()


def test_the_command_line_names_every_backend():
    """Its list is written out, so that help need not load torch."""
    assert cli_options.Backends.__args__ == BACKENDS


def test_the_command_line_names_every_unit_of_time():
    """Likewise, so that help need not load pandas."""
    assert cli_options.Axis.__args__ == get_args(time_axis.Axis)


def test_a_missing_compiler_is_said_at_the_terminal(study, tmp_path, monkeypatch, capfd):
    """Once, when the plan is chosen; going on with the folder says nothing."""
    missing = "none that torch can use (no g++)"
    monkeypatch.setattr(autotune, "choose", lambda *_: ExecutionPlan(device="cpu", compiler=missing))
    path = study()
    run_study(path, tmp_path / "out", workers=1)
    said = "No compiler that torch can use (no g++): this study is trained without compiling.\n"
    assert said in capfd.readouterr().err
    run_study(path, tmp_path / "out", workers=1, changes=["training.seeds=2"])
    assert said not in capfd.readouterr().err


def test_a_folder_without_anything_to_do_plans_nothing(study, tmp_path):
    """Run again when all is done, it does not decide how many workers a longer study will have."""
    path, out = study(), tmp_path / "out"
    run_study(path, out, workers=2)
    (out / PLAN_FILE).unlink()
    run_study(path, out, workers=1)
    assert read_plan(out) is None
    run_study(path, out, workers=2, changes=["training.seeds=2"])
    assert read_plan(out).workers == 2


def test_every_trial_is_told_before_it_is_made():
    """What is tried, and roughly how long that takes."""
    said = []
    machine = Machine({(2, "eager"): 1_000, (2, "compiled"): 2_000})
    autotune.choose(study_of(8, steps=10_000_000), "cpu", 1, 1, [], machine, said.append)
    assert said[0] == "Trying what is fastest, 2 members, eager: a few seconds."
    assert said[-1].endswith("compiled: a minute or two, since it is compiled.")
