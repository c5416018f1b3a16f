"""Workers: whatever a plugin does in one of them, its pack is failed by name and the others are done."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from deepboot.bootstrap import results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.runners import run_study
from deepboot.runners.run import checkpoints, engine, execute, local, shards, terminal, worker
from deepboot.runners.run.crew import Bench, Crew
from deepboot.runners.run.execute import Job, JobResult
from deepboot.runners.run.trial import Trial, measure
from deepboot.runners.run.work import plan
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal

PLUGIN = '''
import os, sys, time
from pathlib import Path
from unittest.mock import Mock
import torch
from deepboot.bootstrap.losses import cross_entropy
from deepboot.bootstrap.registry import register

calls = 0

@register("loss", "moody")
def moody(logits_EBV, label_EB, *, how: str = "well"):
    """Cross-entropy, after it did to its process what it was told to."""
    global calls
    here, calls = Path(os.environ["MOODY"]), calls + 1
    while how == "wait" and calls > 20 and not (here / "go").exists():
        time.sleep(0.01)
    (here / f"process-{how}").write_text(str(os.getpid()))
    if how.startswith("see"):
        (here / f"saw-{how}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        time.sleep(0.5)  # the other pack is for the other worker
    if how == "print":
        print("printed by a plugin")
        os.write(1, b"written by a library\\n")
    if how == "ask":
        input("a name? ")
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "die":
        os._exit(9)
    if how == "lose the device":
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")
    return cross_entropy(logits_EBV, label_EB)
'''


@pytest.fixture
def moody(study, tmp_path, monkeypatch):
    """Writes a study with one cell for everything that its loss is told to do."""
    monkeypatch.setenv("MOODY", str(tmp_path))  # a plugin is loaded once, wherever the test's copy of it lies

    def write(*hows, **changes):
        (tmp_path / "plugin.py").write_text(PLUGIN)
        return study(plugins=["plugin.py"], loss={"name": "moody"}, sweep={"loss.how": list(hows)}, **changes)

    return write


def command(study, out, *words):
    """The command line that runs a study."""
    return [sys.executable, "-m", "deepboot.runners.cli", "run", str(study), "--out", str(out), *map(str, words)]


def jobs_of(study, out):
    """One job for every pack of a study."""
    packs = plan(study, out).packs
    plugins = [str(Path(study).parent / "plugin.py")]
    return [Job(name=pack.name, folder=str(out), runs=list(pack.runs), plugins=plugins) for pack in packs]


def test_a_plugin_may_print_ask_exit_interrupt_or_die_in_a_worker(moody, tmp_path):
    """Prints reach standard error; what ends a pack is said with its name, and all other packs are done."""
    hows = ("print", "ask", "exit", "interrupt", "die", "lose the device", "well")
    path, out = moody(*hows), tmp_path / "out"
    ran = subprocess.run(
        command(path, out, "--workers", 2, "--train-only"),
        input="nobody\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    runs = results.read(out).runs
    status = runs.groupby("loss.how")["status"].unique().map(list).to_dict()
    assert status == {how: ["finished" if how in ("print", "well") else "failed"] for how in hows}
    reasons = {
        "ask": f"EOFError: EOF when reading a line (traceback in {out / 'failures.log'})",
        "exit": f"SystemExit: 3 (traceback in {out / 'failures.log'})",
        "interrupt": f"KeyboardInterrupt (traceback in {out / 'failures.log'})",
        "die": "the worker process died (exit status 9)",
        "lose the device": "AcceleratorError: CUDA error: device-side assert triggered",
    }
    names = {job.runs[0].loss["how"]: job.name for job in jobs_of(path, tmp_path / "none")}
    for how, reason in reasons.items():
        assert f"pack {names[how]}: {reason}" in ran.stderr
    assert "the same command tries them again" in ran.stderr.lower()
    assert "Traceback" not in ran.stderr
    for printed in ("printed by a plugin", "written by a library"):
        assert printed in ran.stderr
        assert printed not in ran.stdout


def test_a_plugin_may_exit_or_interrupt_in_this_process(moody, tmp_path):
    """One worker on a CPU is this process: its packs fail by name too, and the next one is done."""
    with pytest.raises(engine.TrainingError) as caught:
        run_study(moody("exit", "interrupt", "well"), tmp_path / "out", workers=1)
    assert [one.reason.split(" (")[0] for one in caught.value.failures] == ["SystemExit: 3", "KeyboardInterrupt"]
    runs = results.read(tmp_path / "out").runs
    status = runs.groupby("loss.how")["status"].unique().map(list).to_dict()
    assert status == {"exit": ["failed"], "interrupt": ["failed"], "well": ["finished"]}


def test_a_plugin_that_exits_outside_training_is_a_mistake(study, tmp_path, monkeypatch):
    """A task is asked for its facts by this process, whose exit status a plugin does not decide."""

    def leave(*_):
        sys.exit(0)

    monkeypatch.setattr(engine, "facts_of", leave)
    with pytest.raises(StudyError) as caught:
        run_study(study(), tmp_path / "out", workers=1)
    told = "a plugin ended the program (SystemExit: 0). Let it raise an error that says why instead."
    assert caught.value.problems == [told]


def test_a_worker_that_lost_its_device_is_replaced(moody, tmp_path):
    """Packs that raise are failed, and the next one runs in a fresh process; other errors leave the worker."""
    hows = ("exit", "lose the device", "well")
    jobs = jobs_of(moody(*hows), tmp_path)
    failures = Crew(jobs, Mock(), local.Processes()).work(1)
    assert [(one.job, one.run_ids) for one in failures] == [
        (job.name, [run.run_id for run in job.runs]) for job in jobs[:2]
    ]
    after_exit, after_loss = ((tmp_path / f"process-{how}").read_text() for how in hows[1:])
    assert (tmp_path / "process-exit").read_text() == after_exit
    assert after_loss != after_exit


def test_jobs_for_a_device_run_in_a_worker_even_where_there_is_one(study, tmp_path, monkeypatch):
    """The parent never has a context of its own, so that it outlives every worker."""
    monkeypatch.setattr(local, "execute", lambda *_: pytest.fail("executed in this process"))
    started = []
    monkeypatch.setattr(local, "Worker", lambda *device: started.append(1) or worker.Worker(*device))
    (job,) = jobs_of(study(), tmp_path)
    local.run_jobs(
        [job.model_copy(update={"execution": Execution(device="cuda"), "plugins": ()})],
        workers=1,
        observer=Mock(),
    )
    with Bench(local.Processes()) as bench:
        bench(Trial(runs=job.runs, execution=Execution(device="cuda"), trial_seconds=0.05), 1)
    assert len(started) == 2


def test_workers_share_out_the_gpus_and_each_sees_its_own(monkeypatch):
    """The one that fewest others have, also in place of one that died; a person may ask for fewer, not for more."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    seen = []

    def start(*_, env, **__):
        seen.append(env["CUDA_VISIBLE_DEVICES"])
        return Mock(poll=Mock(return_value=None))

    monkeypatch.setattr(subprocess, "Popen", start)
    pool = local.Processes(local.gpus())
    workers = [pool.hire() for _ in range(3)]
    workers[1].process.poll.return_value = -9
    pool.hire()
    assert seen == ["4", "6", "7", "6"]
    machine = local.LocalEngine()
    assert [machine.workers("cuda", asked) for asked in (None, 2, 8)] == [3, 2, 3]


@pytest.mark.slow
def test_two_gpus_are_used_at_once(moody, tmp_path):
    """Two stand-ins on the CPU: each pack is trained by a worker that sees one of them."""
    jobs = jobs_of(moody("see", "see again"), tmp_path)
    assert Crew(jobs, Mock(), local.Processes(["3", "5"])).work(2) == []
    assert {(tmp_path / f"saw-{how}").read_text() for how in ("see", "see again")} == {"3", "5"}


def test_a_trial_survives_the_death_of_its_worker(moody, tmp_path):
    """Death is an answer, and the next trial has a worker again."""
    deadly, fine = jobs_of(moody("die", "print"), tmp_path)
    with Bench(local.Processes()) as bench:
        trials = [Trial(runs=job.runs, plugins=job.plugins, trial_seconds=0.05) for job in (deadly, fine)]
        assert bench(trials[0], 1).problem == "the worker process died (exit status 9)"
        assert bench(trials[1], 1).problem is None


def test_a_plugin_that_exits_does_not_end_a_plan(moody, tmp_path):
    """The command that only asks what a study costs tries it in its own process."""
    (job,) = jobs_of(moody("exit"), tmp_path)
    assert measure(Trial(runs=job.runs, plugins=job.plugins, trial_seconds=0.05)).problem == "SystemExit: 3"


def test_where_no_worker_can_be_started_every_pack_fails_by_name(study, tmp_path, monkeypatch):
    """It is tried a few times, not for ever."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(engine.TrainingError) as caught:
        run_study(study(training__seeds=3), tmp_path / "out", workers=2, pack_size=2)
    reasons = {failure.reason for failure in caught.value.failures}
    assert reasons == {"no worker process could be started (exit status 1)"}
    assert len(caught.value.failures) == 3
    assert (results.read(tmp_path / "out").runs["status"] == "failed").all()


def test_a_system_without_processes_is_said(monkeypatch):
    """Windows cannot pass pipes on like this; a full process table is no defect of the folder."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(StudyError) as caught:
        worker.Worker()
    told = "worker processes need Linux or macOS. Use --workers 1 and --device cpu, or Linux under WSL."
    assert caught.value.problems == [told]
    monkeypatch.undo()

    def full(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(StudyError) as caught:
        worker.Worker()
    assert caught.value.problems == [
        "a worker process cannot be started: Resource temporarily unavailable. Ask for fewer with --workers."
    ]


def test_a_planned_run_that_nothing_accounts_for_is_missing(study, tmp_path, monkeypatch, deepboot):
    """Whatever engine lost them: some are named, all are counted, and the same command does them."""
    path, out = study(training__seeds=4), tmp_path / "out"
    run_jobs = local.run_jobs
    monkeypatch.setattr(local, "run_jobs", lambda jobs, **how: run_jobs(jobs[:2], **how))
    ran = deepboot("run", path, "--out", out, "--workers", 1, "--pack-size", 2)
    missing = [run for run in plan(path, out).runs if run.seed in (2, 3)]
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-8:] == [
        f"Some planned runs are not done; the others are in {out}:",
        "4 planned runs are not done, and nothing says why:",
        *(f"{run.rule} world, seed {run.seed}, run {run.run_id}" for run in missing[:3]),
        "and 1 more",
        "The same command tries them again:",
        f"  deepboot run {path} --out {out} --workers 1 --pack-size 2",
    ]
    with pytest.raises(engine.TrainingError, match="4 planned runs are not done, and nothing says why") as caught:
        engine.refuse_missing(out, plan(path, out).runs, [])
    assert caught.value.missing == missing
    monkeypatch.undo()
    assert deepboot("run", path, "--out", out, "--workers", 1, "--pack-size", 2, "--train-only").returncode == 0


def test_an_earlier_failure_does_not_account_for_a_run(study, tmp_path, monkeypatch):
    """A run that failed is planned again; where nothing came of that, the old row does not hide it."""
    path, out = study(), tmp_path / "out"

    def broken(*_, **__):
        raise ArithmeticError("planted")

    monkeypatch.setattr(execute, "train", broken)
    with pytest.raises(engine.TrainingError, match="ArithmeticError: planted"):
        run_study(path, out, workers=1)
    monkeypatch.setattr(local, "run_jobs", lambda jobs, **_: [])
    with pytest.raises(engine.TrainingError, match="2 planned runs are not done, and nothing says why"):
        run_study(path, out, workers=1)


def test_checkpoints_stay_until_their_rows_are_in_the_tables(study, tmp_path, monkeypatch):
    """A pack that is done keeps its checkpoint while the tables cannot be written."""
    path, out = study(), tmp_path / "out"
    write = results.write_table

    def full(table, target):
        if target.name == "evaluations.parquet":
            raise OSError(28, "No space left on device")
        write(table, target)

    monkeypatch.setattr(results, "write_table", full)
    with pytest.raises(StudyError, match="No space left on device"):
        run_study(path, out, workers=1, checkpoint_seconds=0)
    assert list((out / "checkpoints").glob("*.safetensors"))
    assert shards.exists(out)
    monkeypatch.setattr(results, "write_table", write)
    run_study(path, out, workers=1)
    assert not (out / "checkpoints").exists()
    assert not (out / "shards").exists()


def test_only_checkpoints_of_packs_that_are_done_are_removed(tmp_path):
    """Or that cannot be read; a pack with one run left keeps its own."""
    runs = runs_of(parity())
    taken = []
    execute.train(runs, on_steps=lambda steps, snapshot: taken.append(snapshot()))
    checkpoints.write_checkpoint(tmp_path, "pack", taken[1], Execution())
    place = tmp_path / "checkpoints"
    (place / "broken.safetensors").write_bytes(b"half")
    checkpoints.remove_checkpoints(tmp_path, {runs[0].run_id})
    assert [path.name for path in place.iterdir()] == ["pack.safetensors"]
    checkpoints.remove_checkpoints(tmp_path, {run.run_id for run in runs})
    assert not place.exists()


@pytest.mark.parametrize(
    ("error", "memory", "lost"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True, False),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True, False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True, False),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), False, True),
        (ValueError("CUDA error: out of memory"), False, False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
    ],
)
def test_errors_of_memory_and_of_the_device_are_told_apart(tmp_path, monkeypatch, error, memory, lost):
    """Out of memory, a pack is to be done in smaller ones; after most other errors of a GPU its process is useless."""

    def raising(*_, **__):
        raise error

    monkeypatch.setattr(execute, "train", raising)
    job = Job(name="pack", folder=str(tmp_path), runs=runs_of(parity(training__seeds=2)))
    result = execute.execute(job, lambda *_: None, lambda sentence: None)
    assert execute.out_of_memory(error) is memory
    assert [len(one.runs) for one in result.smaller] == ([2, 2] if memory else [])
    assert len(result.failures) == (not memory)
    assert result.device_lost is lost


def test_a_lost_device_is_seen_behind_what_a_plugin_makes_of_it(tmp_path, monkeypatch):
    """A plugin that raises its own error from a device's does not hide that the device is lost."""

    def wrapping(*_, **__):
        try:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        except RuntimeError as error:
            raise ValueError("my loss failed") from error

    monkeypatch.setattr(execute, "train", wrapping)
    job = Job(name="pack", folder=str(tmp_path), runs=runs_of(parity()))
    result = execute.execute(job, lambda *_: None, lambda sentence: None)
    assert [one.reason.split(" (")[0] for one in result.failures] == ["ValueError: my loss failed"]
    assert result.device_lost


class Held:
    """Stands for what a pack holds on a device, in a circle as modules and their hooks are."""

    def __init__(self):
        self.itself = self


def test_a_pack_that_does_not_fit_is_let_go_before_its_halves_begin(tmp_path, monkeypatch):
    """Neither the frames of the error, though something keeps it, nor a circle of references hold what it held."""
    kept, alive, emptied = [], [], []

    def too_large(*_, **__):
        held = Held()
        alive.append(weakref.ref(held))
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except RuntimeError as error:
            kept.append(error)
            raise

    monkeypatch.setattr(execute, "train", too_large)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(alive[0]()))
    job = Job(
        name="pack", folder=str(tmp_path), execution=Execution(device="cuda"), runs=runs_of(parity(training__seeds=2))
    )
    gc.disable()
    try:
        result = execute.execute(job, lambda *_: None, lambda sentence: None)
    finally:
        gc.enable()
    assert len(result.smaller) == 2
    assert emptied == [None]


def test_a_second_signal_does_not_wait(study, tmp_path):
    """The first asks for checkpoints and a stop; a person who asks again gets it at once."""
    with terminal.stoppable():
        os.kill(os.getpid(), signal.SIGINT)
        assert execute.stopping.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert not execute.stopping.is_set()


def test_a_study_may_be_run_from_a_thread(study, tmp_path):
    """Signals belong to the main thread; training in another one, as servers do, leaves them alone."""
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run_study, args=(study(), tmp_path / "out"), kwargs={"workers": 1})
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert (results.read(tmp_path / "out").runs["status"] == "finished").all()


def children(process):
    """Process numbers of the workers of a running command."""
    try:
        return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.fixture
def waiting(moody, tmp_path):
    """A study, its uninterrupted folder, and a command with two workers that both wait in the middle of a pack."""
    path, out, go = moody("wait", training__seeds=2, training__max_steps=40), tmp_path / "killed", tmp_path / "go"
    go.touch()
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    go.unlink()
    process = subprocess.Popen(
        command(path, out, "--workers", 2, "--checkpoint-seconds", 0, "--pack-size", 2, "--train-only"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    packs = [out / "checkpoints" / f"{pack.name}.safetensors" for pack in plan(path, pack_size=2).packs]
    while process.poll() is None and not all(one.is_file() for one in packs):
        time.sleep(0.01)
    workers = children(process)
    assert len(workers) == 2
    yield path, process, workers
    process.kill()
    process.communicate()


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@linux
def test_a_worker_killed_alone_costs_its_pack_until_the_same_command_goes_on(waiting, tmp_path):
    """The other worker ends its pack; the killed one's is failed by name, and then done from its checkpoint."""
    path, process, workers = waiting
    os.kill(workers[0], signal.SIGKILL)
    (tmp_path / "go").touch()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "the worker process died (killed by SIGKILL, perhaps because memory ran out)" in err
    assert "Traceback" not in err
    out = tmp_path / "killed"
    assert sorted(results.read(out).runs["status"]) == ["failed"] * 2 + ["finished"] * 2
    left = [
        path.name for path in (out / "checkpoints").iterdir() if path.suffix != ".part"
    ]  # half of a file that it wrote
    assert len({name.split("-")[0] for name in left}) == 1
    run_study(path, out, workers=1)
    assert not list(out.glob("**/*.part"))
    equal(tmp_path / "whole", out)


@linux
def test_a_parent_killed_alone_leaves_no_orphan_and_the_same_command_goes_on(waiting, tmp_path):
    """Workers end with the process that started them, and write nothing beside its successor."""
    path, process, workers = waiting
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(alive, workers))
    (tmp_path / "go").touch()
    run_study(path, tmp_path / "killed", workers=1)
    equal(tmp_path / "whole", tmp_path / "killed")


def alive(number):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_of_jobs_pass_through_the_channel_unchanged(tmp_path):
    """Failures and smaller jobs are JSON on their way."""
    job = Job(name="pack", folder=str(tmp_path), runs=runs_of(parity(training__seeds=2)))
    result = JobResult(failures=[execute.fail(job, "planted")], smaller=execute._smaller(job), device_lost=True)
    assert JobResult.model_validate(result.model_dump(mode="json")) == result


LOADED = """
import sys
from deepboot.runners import builtins
from deepboot.runners.run import worker
from deepboot.runners.run.execute import Job, execute
builtins.load(claims=False)
job = Job.model_validate_json(sys.stdin.read())
assert not execute(job, print, print).failures
unwanted = {"pandas", "scipy", "pyarrow", "sklearn", "matplotlib", "seaborn", "jinja2", "deepboot.reports"}
print(sorted(unwanted & set(sys.modules)))
"""


def test_a_worker_loads_nothing_that_judges_or_draws_even_after_a_pack(tmp_path):
    """It only trains, so that it is quick to start: what it would load for a report is seconds of its time."""
    job = Job(name="pack", folder=str(tmp_path), runs=runs_of(parity(training__max_steps=20)))
    code = [sys.executable, "-c", LOADED]
    ran = subprocess.run(code, input=job.model_dump_json(), capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
