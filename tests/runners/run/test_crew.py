"""A crew of any engine: jobs are tried as often as the pool says, by whoever is left."""

from collections import deque
from unittest.mock import Mock

import pytest

from deepboot.bootstrap import results
from deepboot.runners.run import output_folder, shards
from deepboot.runners.run.crew import Crew
from deepboot.runners.run.execute import Job, execute, fail
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.work import plan


class Scripted:
    """A worker that does its jobs at once, or fails them or dies in them, as its pool's script says."""

    node = "a"

    def __init__(self, script):
        self.script, self.told, self.dead = script, deque([{"ready": True}]), False

    def ask(self, job):
        deed = self.script[job.name].popleft() if self.script.get(job.name) else "do"
        self.told.append({"steps": 5, "rows": []})
        if deed == "die":
            self.dead = True
        elif deed == "fail":
            self.told.append({"result": {"failures": [fail(job, "planted").model_dump()]}})
        else:
            self.told.append({"result": execute(job, Mock(), Mock()).model_dump(mode="json")})

    def message(self):
        return self.told.popleft() if self.told else None

    def ended(self):
        return "its node is gone"

    def kill(self):
        pass


class Agency:
    """A pool of scripted workers, of which there is a number to be had."""

    attempts = 3

    def __init__(self, script, supply=9):
        self.script, self.supply = {name: deque(deeds) for name, deeds in script.items()}, supply

    def hire(self):
        self.supply -= 1
        return Scripted(self.script) if self.supply >= 0 else None

    def attentive(self, workers):
        return [worker for worker in workers if worker.told or worker.dead]

    def stop(self, workers):
        pass


@pytest.fixture
def jobs(study, tmp_path):
    """Two jobs of a folder, and the runs in them."""
    work = plan(study(training__seeds=2), tmp_path / "out")
    (tmp_path / "out").mkdir()
    return [Job(name=pack.name, folder=str(tmp_path / "out"), runs=list(pack.runs)) for pack in work.packs]


def statuses(jobs, out):
    """The status of every run of each job, once its rows are in the tables."""
    runs = [run for job in jobs for run in job.runs]
    output_folder.merge(out, runs, facts_of(runs))
    held = results.read_tables(out)[0].set_index("run_id")["status"]
    return [set(held[[run.run_id for run in job.runs]]) for job in jobs]


def test_a_job_whose_worker_dies_or_that_fails_is_tried_again(jobs, tmp_path, capsys):
    """Twice at most; nothing of the failures stays in the tables, and what was reported of them is taken back."""
    first, second = jobs
    observer = Mock()
    assert Crew(jobs, observer, Agency({first.name: ["die", "fail"], second.name: ["fail"]})).work(1) == []
    assert statuses(jobs, tmp_path / "out") == [{"finished"}, {"finished"}]
    told = capsys.readouterr().err.splitlines()
    lost = "the worker process died (its node is gone)"
    assert told == [
        f"pack {first.name}: {lost}. It goes on from its last checkpoint, attempt 2 of 3.",
        f"pack {second.name}: planted. It goes on from its last checkpoint, attempt 2 of 3.",
        f"pack {first.name}: planted. It goes on from its last checkpoint, attempt 3 of 3.",
    ]
    assert sum(call.args[0] for call in observer.progress.call_args_list) == 2 * 5
    assert observer.begun.call_count == observer.ended.call_count == 5
    assert {call.args[0] for call in observer.worked.call_args_list} == {"a"}


def test_a_job_that_fails_three_times_has_failed_and_the_others_are_done(jobs, tmp_path):
    """It comes back by name with its last error."""
    first, _ = jobs
    (failure,) = Crew(jobs, Mock(), Agency({first.name: ["fail", "die", "fail"]})).work(2)
    assert (failure.job, failure.reason) == (first.name, "planted")
    assert statuses(jobs, tmp_path / "out") == [{"failed"}, {"finished"}]


def test_whoever_is_left_does_the_rest(jobs, tmp_path):
    """A worker without a job takes that of one that died and is not replaced."""
    first, _ = jobs
    assert Crew(jobs, Mock(), Agency({first.name: ["die"]}, supply=2)).work(2) == []
    assert statuses(jobs, tmp_path / "out") == [{"finished"}, {"finished"}]


def test_where_nobody_is_left_all_jobs_that_wait_fail(jobs, tmp_path):
    """By name, with the way in which the last worker ended; their failure is not hidden by an attempt's."""
    first, second = jobs
    failures = Crew(jobs, Mock(), Agency({first.name: ["die"]}, supply=1)).work(1)
    assert [one.job for one in failures] == [second.name, first.name]
    assert {one.reason for one in failures} == {"no worker process could be started (its node is gone)"}
    assert shards.exists(tmp_path / "out", first.name)
