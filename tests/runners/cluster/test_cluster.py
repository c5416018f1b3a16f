"""What is said where a cluster cannot be had, and how its nodes are counted; nothing here needs Ray."""

import importlib.util
import socket
from unittest.mock import Mock

import pandas as pd
import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.cluster import engine
from deepboot.runners.cluster.engine import RayEngine


def test_ray_is_an_extra_that_is_named_where_it_is_missing(study, tmp_path, deepboot, monkeypatch):
    """One sentence with the command that mends it, and nothing is begun."""
    found = importlib.util.find_spec
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "ray" else found(name))
    ran = deepboot("run", study(), "--out", tmp_path / "out", "--engine", "ray")
    assert ran.returncode == 2
    assert ran.stderr == (
        '--engine ray: the package ray is not installed. Run `pip install "deep-bootstrap[cluster]"`.\n'
    )
    assert not (tmp_path / "out").exists()


def test_an_address_without_the_engine_is_a_mistake(study, deepboot):
    """A person who names a cluster does not mean this machine."""
    ran = deepboot("run", study(), "--address", "auto")
    assert (ran.returncode, ran.stderr) == (
        2, "--address: expected with --engine ray, got it without. Add --engine ray.\n",
    )  # fmt: skip


def test_an_address_where_nobody_answers_is_said_at_once():
    """Ray itself would try for minutes and then end the process, so it is not asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = Mock()
    with pytest.raises(StudyError) as caught:
        engine._connect(ray, address)
    assert caught.value.problems == [
        f"--address {address}: no Ray cluster answers there ([Errno 111] Connection refused). Start one with "
        "`ray start --head`, or leave --address out to train on this machine."
    ]
    assert not ray.init.called


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "10.0.0.1", "somewhere"])
def test_an_address_has_one_form(address):
    """That of `ray start --head`."""
    with pytest.raises(StudyError) as caught:
        RayEngine(address)
    assert caught.value.problems == [
        f"--address {address}: expected HOST:PORT, as `ray start --head` says it, or auto for the cluster that this "
        "machine belongs to."
    ]


def test_a_worker_gets_a_share_of_one_gpu():
    """Not none of it, and not two."""
    with pytest.raises(StudyError) as caught:
        RayEngine(gpu_share=2)
    told = "--gpu-share: expected a share of one GPU in (0, 1], got 2. Write 0.5 for two workers on each GPU."
    assert caught.value.problems == [told]


def test_nothing_is_started_where_nothing_is_left_to_train(study, tmp_path, monkeypatch):
    """A finished folder asks for no machine, whatever device is named; one more seed does."""
    path, out = study(), tmp_path / "out"
    done = run_study(path, out, workers=1, pack_size=2)
    asked = Mock(side_effect=StudyError(["no cluster"]))
    monkeypatch.setattr(RayEngine, "started", asked)
    again = run_study(path, out, engine=RayEngine("10.0.0.1:6379"), device="cuda")
    pd.testing.assert_frame_equal(again.runs, done.runs)
    assert not asked.called
    with pytest.raises(StudyError, match="no cluster"):
        run_study(path, out, engine=RayEngine("10.0.0.1:6379"), changes=["training.seeds=3"])
    assert asked.called
