"""Every engine fills its folders with the same tables, to the last bit on CPUs.

Those of Ray run with ``-m cluster`` where it is installed: each of its starts takes longer than all other engines.
"""

import threading
import time
from contextlib import nullcontext
from functools import cache

import pandas as pd
import pytest
import tomli_w

from deepboot.bootstrap import results
from deepboot.runners import run_study
from deepboot.runners.cluster import travel
from deepboot.runners.cluster.engine import RayEngine
from tests.bootstrap.conftest import parity

HEALTH = {  # a lost node is found in about two seconds, not in the twenty of Ray's defaults
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}  # fmt: skip


def inline(path, out):
    """One pack after another in this process."""
    run_study(path, out, workers=1, pack_size=2)
    return [out]


def pool(path, out):
    """Packs in two processes."""
    run_study(path, out, workers=2, pack_size=2)
    return [out]


def shards(path, out):
    """Cells in two folders, as two machines fill them that know nothing of each other."""
    folders = [out / f"shard{number}" for number in (1, 2)]
    for number, folder in enumerate(folders, start=1):
        run_study(path, folder, workers=1, pack_size=2, shard=f"{number}/2")
    return folders


def ray_here(path, out):
    """By two actors of this machine."""
    pytest.importorskip("ray")
    run_study(path, out, engine=RayEngine(), pack_size=2)
    return [out]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of two cells with so many steps, and its tables by the reference, which is this process."""
    folder = tmp_path_factory.mktemp("conformance")

    @cache
    def reference(steps):
        path = folder / f"study{steps}.toml"
        raw = parity(training__seeds=2, training__max_steps=steps, sweep={"model.width": [8, 12]})
        path.write_text(tomli_w.dumps(raw))
        return path, tables(inline(path, folder / str(steps)))

    return reference


def tables(folders):
    """Runs and evaluations of some folders together, each run once, in one order, without the time they took."""
    read = [results.read(folder) for folder in folders]
    runs = pd.concat([one.runs for one in read]).drop_duplicates("run_id").drop(columns="seconds")
    evaluations = pd.concat([one.evaluations for one in read]).drop_duplicates(["run_id", "step"])
    return (
        runs.sort_values("run_id", ignore_index=True),
        evaluations.sort_values(["run_id", "step"], ignore_index=True),
    )


def agree(one, other):
    """Whether two pairs of tables are equal to the last bit."""
    for left, right in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)


@pytest.mark.parametrize("engine", [pool, shards, pytest.param(ray_here, marks=pytest.mark.cluster)])
def test_every_engine_fills_the_same_tables(trained, tmp_path, engine):
    """Packs, seeds and steps decide what is computed, not who computes it."""
    path, expected = trained(12)
    agree(tables(engine(path, tmp_path / "out")), expected)


@pytest.fixture
def two_nodes(tmp_path):
    """A cluster of two nodes on this machine with one CPU each, to which this process is connected; the second node.

    Each has a folder for temporary files of its own, ``first`` and ``second``.
    """
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    def size(name):
        (tmp_path / name).mkdir()
        return {"num_cpus": 1, "object_store_memory": 100 << 20, "env_vars": {"TMPDIR": str(tmp_path / name)}}

    cluster = Cluster(
        initialize_head=True, head_node_args={**size("first"), "_system_config": HEALTH, "include_dashboard": False}
    )
    second = cluster.add_node(**size("second"))
    ray.init(cluster.address, logging_level="ERROR")
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


def with_a_loss(path, out, two_nodes):
    """Train a study by two nodes of one CPU, the second of which is lost while a pack is under way on each."""
    (cluster, second), lost = two_nodes, threading.Event()

    def lose():
        while len(list(out.glob("checkpoints/*-0.safetensors"))) < 2:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        lost.set()

    threading.Thread(target=lose, daemon=True).start()
    run_study(path, out, engine=RayEngine(cluster.address), pack_size=2, checkpoint_seconds=0.3)
    assert lost.is_set()


@pytest.mark.cluster
def test_a_node_may_be_lost_in_the_middle(trained, tmp_path, two_nodes, capfd):
    """Its pack goes on from its checkpoint on the other node, and the missing device is said; the tables are equal."""
    path, expected = trained(4_000)
    with_a_loss(path, tmp_path / "out", two_nodes)
    told = capfd.readouterr().err
    assert "It goes on from its last checkpoint, attempt 2 of 3." in told
    assert "waiting for 1 more device (have 1)" in told
    assert not list(tmp_path.glob("*/deepboot-*"))  # all saw the output folder
    agree(tables([tmp_path / "out"]), expected)


@pytest.mark.cluster
def test_nodes_need_not_share_a_folder(trained, tmp_path, two_nodes, capfd, monkeypatch):
    """Where actors look for the driver's token in vain, all files come by Ray, before and after a node is lost."""
    path, expected = trained(4_000)
    monkeypatch.setattr(travel, "token", lambda folder: nullcontext(folder / "seen only by another machine"))
    came, write = list[str](), travel.write
    monkeypatch.setattr(travel, "write", lambda folder, files: (came.extend(files), write(folder, files)))
    with_a_loss(path, tmp_path / "out", two_nodes)
    assert "It goes on from its last checkpoint, attempt 2 of 3." in capfd.readouterr().err
    agree(tables([tmp_path / "out"]), expected)
    kept = {str(file.relative_to(tmp_path / "out")) for file in tmp_path.glob("out/states/*")}
    assert len(kept) == len(expected[0])
    assert kept <= set(came)
    assert len({name for name in came if name.startswith("shards/")}) == 4
    assert len(list(tmp_path.glob("second/deepboot-*"))) == 1  # of the actor that was lost
    assert not list(tmp_path.glob("first/deepboot-*"))
