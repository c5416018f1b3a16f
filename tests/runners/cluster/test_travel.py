"""Files between a folder and a scratch folder that stands for it, without Ray: each arrives once, whole and named."""

import json
import os
import tempfile
from unittest.mock import Mock

import pytest

from deepboot.runners.cluster import travel
from deepboot.runners.run import checkpoints, execute, shards
from deepboot.runners.run.execute import Job
from deepboot.runners.run.work import plan


@pytest.fixture
def job(study, tmp_path, monkeypatch):
    """A pack of a study that keeps states and weights, and the folder that it belongs to; scratch is beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "out").mkdir()
    (pack,) = plan(study(keep={"weights": "final"}), tmp_path / "out", pack_size=2).packs
    return Job(name=pack.name, folder=str(tmp_path / "out"), runs=list(pack.runs))


def contents(folder):
    """All files of a folder that are no hidden ones, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("**/[!.]*") if path.is_file()}


def without_seconds(files):
    """Contents of states, which hold the time that training took, left out: they differ between any two trainings."""
    return {name: data for name, data in files.items() if not name.startswith(("states", "shards"))}


def test_what_a_job_writes_arrives_as_if_it_had_been_written_there(job, tmp_path):
    """Shard, states and weights, the shard last, since it says that the pack is done; and nothing twice."""
    scratch = travel.Scratch(job.folder, travel.needed(job))
    execute.execute(job.model_copy(update={"folder": str(scratch.path)}), Mock(), Mock())
    files = scratch.written()
    assert list(files)[-1] == f"shards/{job.name}.json"
    assert scratch.written() == {}
    travel.write(tmp_path / "out", files)
    (tmp_path / "beside").mkdir()
    execute.execute(job.model_copy(update={"folder": str(tmp_path / "beside")}), Mock(), Mock())
    arrived, expected = contents(tmp_path / "out"), contents(tmp_path / "beside")
    assert arrived.keys() == expected.keys()
    assert without_seconds(arrived) == without_seconds(expected)
    rows = [json.loads(files[f"shards/{job.name}.json"])["evaluations"] for files in (arrived, expected)]
    assert rows[0] == rows[1]
    scratch.remove()
    assert not scratch.path.exists()


def test_a_successor_goes_on_from_the_checkpoint_that_came_back(job, tmp_path, monkeypatch):
    """The first actor is lost after its second checkpoint; the next one, elsewhere, resumes at that step."""
    first = travel.Scratch(job.folder, travel.needed(job))
    write, steps = checkpoints.write_checkpoint, []

    def and_lose(folder, name, outcomes, execution):
        write(folder, name, outcomes, execution)
        travel.write(tmp_path / "out", first.written())
        steps.append(int(outcomes[0].state["step"]))
        if len(steps) == 2:
            raise RuntimeError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_checkpoint", and_lose)
        execute.execute(job.model_copy(update={"folder": str(first.path), "checkpoint_seconds": 0.0}), Mock(), Mock())
    shards.remove(tmp_path / "out", job.name)
    needed = travel.needed(job)
    assert set(needed) == {f"checkpoints/{job.name}{which}.safetensors" for which in ("", ".previous")}
    second, progress = travel.Scratch(job.folder, needed), Mock()
    assert second.written() == {}  # what came is not sent back
    execute.execute(job.model_copy(update={"folder": str(second.path)}), progress, Mock())
    assert progress.call_args_list[0].args[0] == 2 * steps[-1]
    assert f"shards/{job.name}.json" in second.written()


def test_states_from_which_runs_go_on_travel_with_the_job(job, tmp_path):
    """Only those of its own runs, and only where it does not begin at step 0."""
    for run_id in (job.runs[0].run_id, "another"):
        checkpoints.write_state(tmp_path / "out", run_id, {})
    assert travel.needed(job) == {}
    assert list(travel.needed(job.model_copy(update={"start": 3}))) == [f"states/{job.runs[0].run_id}.safetensors"]


def test_failures_are_told_under_the_output_folders_name_and_added_to_its_log(job, tmp_path):
    """Two failures in one scratch folder are two entries beside what the log had."""
    (tmp_path / "out" / "failures.log").write_text("before\n")
    scratch = travel.Scratch(job.folder, travel.needed(job))
    moved = job.model_copy(update={"folder": str(scratch.path)})
    for reason in ("one", "two"):
        execute.fail(moved, reason, f"in {scratch.path}/states")
        travel.write(tmp_path / "out", scratch.written())
    log = (tmp_path / "out" / "failures.log").read_text()
    entries = (f"pack {job.name}: {reason}\nin {tmp_path}/out/states\n" for reason in ("one", "two"))
    assert log == "".join(["before\n", *entries])
    message = json.dumps({"result": {"smaller": [moved.model_dump(mode="json")]}}).encode()
    assert json.loads(scratch.told(message))["result"]["smaller"][0]["folder"] == job.folder


def test_a_scratch_folder_of_a_dead_process_is_removed_by_the_next(job, tmp_path):
    """The system lets go of a dead process's lock; folders of living ones stay, and what nobody locked."""
    dead, alive = (travel.Scratch(job.folder, {"states/one": b"1"}) for _ in range(2))
    (tmp_path / "deepboot-copy").mkdir()
    os.close(dead._held)  # as the end of its process does
    assert dead.path.exists()
    third = travel.Scratch(job.folder, {})
    assert not dead.path.exists()
    assert alive.path.exists()
    assert (tmp_path / "deepboot-copy").exists()
    for scratch in (alive, third):
        scratch.remove()


def test_the_token_is_seen_in_the_folder_only_while_it_is_needed(tmp_path):
    """Its name is no other folder's, and `prepare` removes what a killed driver left."""
    with travel.token(tmp_path) as one, travel.token(tmp_path) as other:
        assert one.is_file()
        assert one != other
        assert set(tmp_path.glob("**/.*.part")) == {one, other}
    assert not list(tmp_path.iterdir())
