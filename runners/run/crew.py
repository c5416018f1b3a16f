"""A crew: workers that do one job after another, wherever they run, and what is done when one of them dies."""

from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from deepboot.runners.run import checkpoints, shards
from deepboot.runners.run.execute import Failure, Job, JobResult, fail, halves
from deepboot.runners.run.execution_plan import short_key
from deepboot.runners.run.pool import Observer, Pool, W
from deepboot.runners.run.terminal import heed_stop, note
from deepboot.runners.run.trial import Rate, Trial

FALSE_STARTS = 3  # workers in a row that end before they were given a job, after which no more are started


@dataclass
class Post:
    """What a crew knows of one of its workers.

    Attributes:
        ready: whether it can be asked.
        job: that it was given.
        steps: member steps reported of that job.
        most: members of a pack that its device can hold, by the pack's key, where one did not fit.
    """

    ready: bool = False
    job: Job | None = None
    steps: int = 0
    most: dict[str, int] = field(default_factory=dict)

    def holds(self, job: Job) -> bool:
        """Whether its device can hold a job's pack, as far as that is known."""
        return not self.most or len(job.runs) <= self.most.get(job.key, len(job.runs))


class Crew(Generic[W]):
    """Workers, the jobs that wait for them, and the failures so far.

    A job that fails, or whose worker dies, goes on from its checkpoint as often as the pool tries a job. Devices
    differ: one that could not hold a pack is given smaller ones from then on, the others whole ones.
    """

    def __init__(self, jobs: Iterable[Job], observer: Observer, pool: Pool[W]):
        self._waiting, self._observer, self._pool = deque(jobs), observer, pool
        self._posts: dict[W, Post] = {}
        self._tries = Counter[str]()
        self._failures: list[Failure] = []
        self._false_starts, self._last_end = 0, ""

    def work(self, count: int) -> list[Failure]:
        """Do all jobs with so many workers; the failures among them come back."""
        try:
            for _ in range(count):
                self._hire()
            while self._posts and (self._waiting or any(post.job for post in self._posts.values())):
                heed_stop()
                for worker in self._pool.attentive(list(self._posts)):
                    self._heed(worker, worker.message())
                self._hand_out()
        finally:
            self._pool.stop(list(self._posts))
        reason = f"no worker process could be started ({self._last_end})"
        return self._failures + [fail(job, reason) for job in self._waiting]

    def _hire(self) -> None:
        worker = self._pool.hire()
        if worker is not None:
            self._posts[worker] = Post()

    def _hand_out(self) -> None:
        """Give jobs to workers that have none."""
        for worker, post in self._posts.items():
            if self._waiting and post.ready and post.job is None:
                place = self._next(post)
                with suppress(OSError):  # it is dead: its end is seen next, and the job waits for another
                    worker.ask(self._waiting[place])
                    post.job, post.steps = self._waiting[place], 0
                    del self._waiting[place]
                    self._observer.begun()

    def _next(self, post: Post) -> int:
        """The place of the first job that fits a worker's device; where there is none, jobs are cut until there is.

        A job that was begun in parts goes on in these.
        """
        while True:
            place = next((place for place, job in enumerate(self._waiting) if post.holds(job)), 0)
            job = self._waiting[place]
            if post.holds(job) and not _was_cut(job):
                return place
            parts = halves(job)
            if not parts:
                return place
            del self._waiting[place]
            self._waiting += parts
            self._observer.begun()
            tell(self._observer, job, JobResult(smaller=parts))

    def _heed(self, worker: W, message: dict[str, Any] | None) -> None:
        """Do what a worker's message asks for; None: it has ended."""
        post = self._posts[worker]
        if message is None:
            self._bury(worker)
        elif "steps" in message:
            post.steps += message["steps"]
            self._observer.progress(message["steps"], message["rows"])
            if worker.node:
                self._observer.worked(worker.node, message["steps"])
        elif "note" in message:
            note(message["note"])
        elif "result" in message:
            self._false_starts = 0
            result = JobResult.model_validate(message["result"])
            self._settle(post, result)
            if result.device_lost:
                self._replace(worker)
        else:
            post.ready = True

    def _settle(self, post: Post, result: JobResult) -> None:
        """Take note of what came of a job; one that failed may be tried again."""
        assert post.job is not None, "a worker reports on a job that it was given"
        job, post.job = post.job, None
        self._tries[job.name] += 1
        if result.failures and self._tries[job.name] < self._pool.attempts:
            self._again(job, result.failures[0], post.steps)
            return
        if len(result.smaller) > 1:
            post.most[job.key] = max(len(part.runs) for part in result.smaller)
        tell(self._observer, job, result)
        self._failures += result.failures
        self._waiting += result.smaller

    def _again(self, job: Job, failure: Failure, steps: int) -> None:
        """Put a failed job last, where another worker is likelier to take it, and take back what was reported of it."""
        note(
            f"pack {job.name}: {failure.reason}. It goes on from its last checkpoint, attempt "
            f"{self._tries[job.name] + 1} of {self._pool.attempts}."
        )
        shards.remove(Path(job.folder), job.name)  # where it is written down as failed
        self._observer.progress(-steps, [])
        tell(self._observer, job, JobResult(smaller=[job]))
        self._waiting.append(job)

    def _bury(self, worker: W) -> None:
        """Take note of a worker that died, and of its job, unless the job had just been done."""
        self._last_end, post = worker.ended(), self._posts[worker]
        if post.job is None:
            self._false_starts += 1
        else:
            done = shards.exists(Path(post.job.folder), post.job.name)
            failures = [] if done else [fail(post.job, f"the worker process died ({self._last_end})")]
            self._settle(post, JobResult(failures=failures))
        self._replace(worker)

    def _replace(self, worker: W) -> None:
        """Let a worker go, and start another while there are jobs and workers can be started."""
        worker.kill()
        del self._posts[worker]
        if self._waiting and self._false_starts < FALSE_STARTS:
            self._hire()


def tell(observer: Observer, job: Job, result: JobResult) -> None:
    """Tell an observer what came of a job."""
    run_ids, reasons = [run.run_id for run in job.runs], [failure.reason for failure in result.failures]
    observer.ended(run_ids, reasons, len(result.smaller))


def _was_cut(job: Job) -> bool:
    """Whether a half of a job has a checkpoint and the whole has none."""
    folder, run_ids = Path(job.folder), {run.run_id for run in job.runs}
    begun = checkpoints.begun(folder)
    if job.name in begun or all(name.partition("-")[0] not in run_ids for name in begun):
        return False
    return any(part.name in begun for part in halves(job))


class Bench(Generic[W]):
    """Trials by workers of a pool, which are hired for them and go when it is closed.

    A worker whose device cannot hold a pack that another can counts as with the last one that it held: a crew would cut
    the pack for it.
    """

    def __init__(self, pool: Pool[W]):
        self._pool = pool
        self._workers: list[W] = []
        self._held: dict[tuple[W, str], Rate] = {}  # by worker and `short_key`

    def __enter__(self) -> "Bench[W]":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    def __call__(self, trial: Trial, workers: int) -> Rate:
        """Carry out a trial by so many workers at once; the rates are added."""
        while len(self._workers) < workers and (worker := self._pool.hire()) is not None:
            self._workers.append(worker)
        asked = self._workers[:workers]
        for worker in asked:
            with suppress(OSError):  # it is dead, which its answer tells
                worker.ask(trial)
        rates = self._comparable({worker: self._rate(worker, trial) for worker in asked}, trial)
        problems = [one.problem for one in rates if one.problem is not None]
        return Rate(
            rate=0.0 if problems else sum(one.rate for one in rates),
            member_bytes=max(one.member_bytes for one in rates),
            first_seconds=max(one.first_seconds for one in rates),
            problem=problems[0] if problems else None,
        )

    def _comparable(self, rates: dict[W, Rate], trial: Trial) -> list[Rate]:
        """Rates of a trial; where some devices hold its pack, of the others those of the last that they held."""
        held = {worker: rate for worker, rate in rates.items() if rate.problem is None}
        if not held:
            return list(rates.values())
        key = short_key(trial.runs[0])
        self._held |= {(worker, key): rate for worker, rate in held.items()}
        return [self._held.get((worker, key), rate) if rate.out_of_memory else rate for worker, rate in rates.items()]

    def _rate(self, worker: W, trial: Trial) -> Rate:
        """A worker's answer; one that died, or failed on a device and may have lost it, is not asked again."""
        message = worker.message()
        if message is not None and "ready" in message:
            message = worker.message()
        dead = message is None
        rate = Rate.model_validate(message["rate"]) if message is not None else Rate(rate=0.0)
        if dead:
            rate.problem = f"the worker process died ({worker.ended()})"
        if dead or (rate.problem is not None and not rate.out_of_memory and trial.execution.device != "cpu"):
            worker.kill()
            self._workers.remove(worker)
        return rate
