"""A crew: workers that do one job after another, wherever they run, and what is done when one of them dies."""

from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from deepboot.runners.run import shards
from deepboot.runners.run.execute import Failure, Job, JobResult, fail
from deepboot.runners.run.pool import Observer, Pool, W
from deepboot.runners.run.terminal import heed_stop, note
from deepboot.runners.run.trial import Rate, Trial

FALSE_STARTS = 3  # workers in a row that end before they were given a job, after which no more are started


@dataclass
class Post:
    """What a crew knows of one of its workers: whether it can be asked, its job, and the steps reported of it."""

    ready: bool = False
    job: Job | None = None
    steps: int = 0


class Crew(Generic[W]):
    """Workers, the jobs that wait for them, and the failures so far.

    A job that fails, or whose worker dies, goes on from its checkpoint as often as the pool tries a job.
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
                with suppress(OSError):  # it is dead: its end is seen next, and the job waits for another
                    worker.ask(self._waiting[0])
                    post.job, post.steps = self._waiting.popleft(), 0
                    self._observer.begun()

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
        tell(self._observer, job, result)
        self._failures += result.failures
        self._waiting.extendleft(reversed(result.smaller))

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


class Bench(Generic[W]):
    """Trials by workers of a pool, which are hired for them and go when it is closed."""

    def __init__(self, pool: Pool[W]):
        self._pool = pool
        self._workers: list[W] = []

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
        rates = [self._rate(worker, trial) for worker in asked]
        problems = [one.problem for one in rates if one.problem is not None]
        return Rate(
            rate=0.0 if problems else sum(one.rate for one in rates),
            member_bytes=max(one.member_bytes for one in rates),
            first_seconds=max(one.first_seconds for one in rates),
            problem=problems[0] if problems else None,
        )

    def _rate(self, worker: W, trial: Trial) -> Rate:
        """A worker's answer; one that died, or failed on a device and may have lost it, is not asked again."""
        message = worker.message()
        if message is not None and "ready" in message:
            message = worker.message()
        dead = message is None
        rate = Rate.model_validate(message["rate"]) if message is not None else Rate(rate=0.0)
        if dead:
            rate.problem = f"the worker process died ({worker.ended()})"
        if dead or (rate.problem is not None and trial.execution.device != "cpu"):
            worker.kill()
            self._workers.remove(worker)
        return rate
