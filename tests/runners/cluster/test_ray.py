"""What a real Ray on this machine does where actors die, devices are missing, or the driver goes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.cluster.engine import RayEngine
from deepboot.runners.run.engine import TrainingError
from tests.runners.run.test_engine import equal

pytestmark = pytest.mark.cluster
pytest.importorskip("ray", reason="the extra `cluster` is not installed")

DEADLY = """
import os
from deepboot.bootstrap.losses import cross_entropy
from deepboot.bootstrap.registry import register

@register("loss", "deadly")
def deadly(logits_EBV, label_EB, *, dies: bool = False):
    \"\"\"Cross-entropy, or the end of the process.\"\"\"
    if dies:
        os._exit(9)
    return cross_entropy(logits_EBV, label_EB)
"""


@pytest.fixture(scope="module")
def started():
    """Ray on this machine, with two CPUs, for several tests."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, logging_level="ERROR")
    yield
    ray.shutdown()


def test_a_pack_whose_actors_die_three_times_has_failed_and_the_rest_is_done(started, study, tmp_path, capfd):
    """By name; the deaths are said as they happen."""
    (tmp_path / "deadly.py").write_text(DEADLY)
    path = study(plugins=["deadly.py"], loss={"name": "deadly"}, sweep={"loss.dies": [False, True]})
    with pytest.raises(TrainingError) as caught:
        run_study(path, tmp_path / "out", engine=RayEngine())
    (failure,) = caught.value.failures
    assert failure.reason.startswith("the worker process died (")
    status = results.read(tmp_path / "out").runs.groupby("loss.dies")["status"].unique().map(list).to_dict()
    assert status == {False: ["finished"], True: ["failed"]}
    told = capfd.readouterr().err
    assert told.count(f"pack {failure.job}: the worker process died") == 2
    assert "attempt 3 of 3" in told


def test_a_device_that_does_not_come_is_said(started, study, tmp_path, capfd):
    """The two that are there do all of it."""
    path = study(training__seeds=3, training__max_steps=2_000)
    runs = run_study(path, tmp_path / "out", workers=3, engine=RayEngine(), pack_size=2).runs
    assert (runs["status"] == "finished").all()
    assert "waiting for 1 more device (have 2)" in capfd.readouterr().err


def test_without_any_device_in_time_all_packs_fail_by_name(started, study, tmp_path, monkeypatch):
    """A GPU that no node has is given up after the time that a person set."""
    from deepboot.runners.cluster.machines import RayMachines

    with pytest.raises(StudyError) as caught:
        run_study(study(), tmp_path / "none", device="cuda", engine=RayEngine())
    told = "--device cuda: none of the cluster's 1 nodes has a GPU that Ray knows of. Use --device cpu or auto, or look"
    assert caught.value.problems == [f"{told} at `ray status`."]
    monkeypatch.setattr(RayMachines, "device", lambda *_: "cuda")
    with pytest.raises(TrainingError) as failed:
        run_study(study(), tmp_path / "out", device="cuda", engine=RayEngine(wait_seconds=2), pack_size=2)
    (failure,) = failed.value.failures
    assert failure.reason == "no worker process could be started (no device was free within 2 s)"


def test_a_driver_may_be_interrupted_and_killed_and_the_same_command_goes_on(study, tmp_path):
    """After an interrupt with nothing lost; after a kill from the last checkpoints; to the tables of one process."""
    path, out = study(training__seeds=3, training__max_steps=1_200), tmp_path / "out"
    words = ["run", path, "--out", out, "--engine", "ray", "--pack-size", 2, "--checkpoint-seconds", 0.5]
    command = [sys.executable, "-m", "deepboot.runners.cli", *map(str, words)]
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
        before = {path: path.stat().st_mtime for path in out.glob("checkpoints/*")}
        while all(path.stat().st_mtime <= before.get(path, 0) for path in out.glob("checkpoints/*-0.safetensors")):
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.05)
        os.killpg(driver.pid, number) if number == signal.SIGINT else driver.kill()
        driver.communicate(timeout=120)
        assert driver.returncode == status
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    equal(out, tmp_path / "whole")
