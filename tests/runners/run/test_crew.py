"""A crew of any engine: jobs are tried as often as the pool says, by whoever is left."""

from collections import deque
from unittest.mock import Mock

import pytest

from deepboot.bootstrap import results
from deepboot.runners.run import checkpoints, output_folder, shards
from deepboot.runners.run.crew import Bench, Crew
from deepboot.runners.run.execute import Job, JobResult, execute, fail, halves
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.packing import PackPlan, ordered_members
from deepboot.runners.run.trial import Rate, Trial
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


class Holding(Scripted):
    """A worker whose device holds so many members, and what it was asked for."""

    def __init__(self, members):
        super().__init__({})
        self.members, self.asked = members, []

    def ask(self, asked):
        self.asked.append(len(asked.runs))
        fits = len(asked.runs) <= self.members
        if isinstance(asked, Trial):
            rate = len(asked.runs) / (len(asked.runs) + 1)  # a little faster with every member
            found = Rate(rate=rate) if fits else Rate(rate=0.0, problem="too large", out_of_memory=True)
            self.told.append({"rate": found.model_dump()})
        elif fits:
            super().ask(asked)
        else:
            self.told += [{"result": JobResult(smaller=halves(asked)).model_dump(mode="json")}]


class Fleet(Agency):
    """A pool whose workers are of these sizes."""

    def __init__(self, *members):
        super().__init__({})
        self.workers = [Holding(count) for count in members]
        self.free = deque(self.workers)

    def hire(self):
        return self.free.popleft()


@pytest.fixture
def wide(study, tmp_path):
    """Six jobs of four pairs each."""
    work = plan(study(training__seeds=24), tmp_path / "out")
    (tmp_path / "out").mkdir()
    packs = [
        ordered_members(run for pack in work.packs[first : first + 4] for run in pack.runs) for first in range(0, 24, 4)
    ]
    return [Job(name=PackPlan(runs).name, folder=str(tmp_path / "out"), runs=list(runs)) for runs in packs]


def test_a_smaller_device_is_given_smaller_packs(wide, tmp_path):
    """Once a pack did not fit it; the others are given whole ones, and all is done and counted once."""
    fleet, observer = Fleet(2, 8), Mock()
    assert Crew(wide, observer, fleet).work(2) == []
    small, large = fleet.workers
    assert small.asked[:3] == [8, 4, 2]
    assert set(small.asked[3:]) == {2}
    assert large.asked.count(8) >= 2
    assert statuses(wide, tmp_path / "out") == [{"finished"}] * 6
    assert observer.begun.call_count == observer.ended.call_count
    assert sum(max(call.args[2] - 1, 0) for call in observer.ended.call_args_list) + 6 == sum(
        call.args[2] == 0 for call in observer.ended.call_args_list
    )


def test_a_pack_goes_on_in_the_parts_in_which_it_was_begun(wide, tmp_path):
    """Of which one has a checkpoint, and the whole has none."""
    job = wide[0]
    part = halves(job)[1]
    path, _ = checkpoints.checkpoint_paths(tmp_path / "out", part.name)
    path.parent.mkdir()
    path.write_bytes(b"")
    fleet = Fleet(8)
    assert Crew([job], Mock(), fleet).work(1) == []
    assert fleet.workers[0].asked == [4, 4]


def test_a_trial_that_fits_some_devices_counts_the_others_as_they_were(wide):
    """With the last pack that they held; one that fits none is a problem, and so is any other failure."""
    bench = Bench(Fleet(2, 4))
    runs = wide[0].runs
    tried = [bench(Trial(runs=runs[:count]), 2) for count in (2, 4, 8)]
    assert tried[0].rate == pytest.approx(2 / 3 + 2 / 3)
    assert tried[1].rate == pytest.approx(2 / 3 + 4 / 5)
    assert (tried[2].rate, tried[2].problem) == (0.0, "too large")
    assert Bench(Fleet(2, 4))(Trial(runs=runs[:4]), 2).problem == "too large"  # nothing is known of the smaller one
