"""``deepboot bench cluster``: what Ray costs a pack, against worker processes of this machine, by turns.

Workers of all sides are started first and stay warm. In a turn each side trains the same packs, one a worker, from
being asked to having the results in its folder, with a checkpoint in the middle and one more.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deepboot.bootstrap.study.run import Run
from deepboot.runners.bench.contests import MLP_64
from deepboot.runners.cluster.engine import started_here
from deepboot.runners.run import shards
from deepboot.runners.run.execute import Job
from deepboot.runners.run.local import Processes
from deepboot.runners.run.pool import AnyWorker, Pool

WORKERS = (1, 2)
TIMES = 3  # turns
PACK_SECONDS = 10.0
MEMBERS = 8
TRIAL_STEPS = 64  # of a pack, by which the length of a turn's packs is chosen
WAIT_SECONDS = 120.0  # for Ray to start an actor
SIDES = ("local", "ray", "apart")


@dataclass(frozen=True)
class Overhead:
    """What Ray adds to a pack's time; medians over turns.

    Attributes:
        workers: of each side, each of which trains one pack a turn.
        seconds: that a pack takes of a worker process of this machine.
        rate, ray_rate, apart_rate: member steps a second of this machine's workers; of actors that see the output
            folder; and of those that do not, so that all files travel by Ray.
        overhead, apart_overhead: what the latter two take more, as a share of the time of this machine's workers.
        lowest, highest: of ``overhead``, in any turn.
    """

    workers: int
    seconds: float
    rate: float
    ray_rate: float
    apart_rate: float
    overhead: float
    apart_overhead: float
    lowest: float
    highest: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.workers} workers   packs of {self.seconds:5.1f} s   local {self.rate:9,.0f}   "
            f"ray {self.ray_rate:9,.0f}   ray, nothing shared {self.apart_rate:9,.0f} member steps/s   overhead "
            f"{self.overhead:+.1%} ({self.lowest:+.1%} to {self.highest:+.1%}) = {self.overhead * self.seconds:+.2f} s "
            f"a pack; nothing shared {self.apart_overhead:+.1%}"
        )


def overheads(pack_seconds: float = PACK_SECONDS, times: int = TIMES) -> Iterator[Overhead]:
    """What Ray costs packs of about this length, with one worker and with two.

    Raises:
        StudyError: Ray is not installed.
        RuntimeError: a worker died, or a pack failed.
    """
    with ExitStack() as stack:
        stack.enter_context(started_here(cpus=2 * max(WORKERS)))  # sides that wait for their turn hold theirs
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sides = {name: stack.enter_context(_hired(_pool(name, folder), max(WORKERS))) for name in SIDES}

        def turn(name: str, count: int, runs: list[Run]) -> float:
            return _turn(sides[name][:count], _jobs(runs, folder, name, count, pack_seconds / 3))

        for name in SIDES:
            turn(name, max(WORKERS), _runs(TRIAL_STEPS))  # which loads what training needs
        runs = _runs(_steps(pack_seconds, lambda steps: turn("local", 1, _runs(steps))))
        for count in WORKERS:
            seconds: dict[str, list[float]] = {name: [] for name in SIDES}
            for _ in range(times):
                for name in SIDES:
                    seconds[name].append(turn(name, count, runs))
            yield overhead(seconds, count, runs[0].max_steps * MEMBERS)


def _steps(pack_seconds: float, seconds_of: Callable[[int], float]) -> int:
    """Steps of a pack that takes about so long; what every pack takes beside its steps is little by then."""
    steps = TRIAL_STEPS
    while (seconds := seconds_of(steps)) < pack_seconds / 2:
        steps *= 2
    return max(2, round(steps * pack_seconds / seconds))


def overhead(seconds: dict[str, list[float]], workers: int, member_steps: int) -> Overhead:
    """The figures of all sides' turns.

    Args:
        seconds: of each turn, by side, as many of each.
        workers: of each side.
        member_steps: of one pack.
    """
    more = {
        name: [one / local - 1 for one, local in zip(seconds[name], seconds["local"], strict=True)] for name in SIDES
    }
    rates = {name: workers * member_steps / statistics.median(seconds[name]) for name in SIDES}
    return Overhead(
        workers=workers, seconds=statistics.median(seconds["local"]), rate=rates["local"], ray_rate=rates["ray"],
        apart_rate=rates["apart"], overhead=statistics.median(more["ray"]),
        apart_overhead=statistics.median(more["apart"]), lowest=min(more["ray"]), highest=max(more["ray"]),
    )  # fmt: skip


def _pool(side: str, folder: Path) -> Pool[Any]:
    """Where a side's workers come from."""
    from deepboot.runners.cluster.actors import Actors, Place

    if side == "local":
        return Processes()
    seen = folder / side / "seen"
    for name in SIDES:
        (folder / name).mkdir(exist_ok=True)
    if side == "ray":
        seen.touch()
    return Actors(Place("cpu", 1, 1.0, WAIT_SECONDS, seen))


@contextmanager
def _hired(pool: Pool[Any], count: int) -> Iterator[list[AnyWorker]]:
    """So many workers, once they can be asked; they go at the end."""
    workers = [worker for _ in range(count) if (worker := pool.hire()) is not None]
    try:
        for worker in workers:
            _message(worker)  # that it is ready
        yield workers
    finally:
        pool.stop(workers)


def _turn(workers: Sequence[AnyWorker], jobs: Sequence[Job]) -> float:
    """Seconds until every worker has done its job.

    Raises:
        RuntimeError: it died, or failed.
    """
    began = time.perf_counter()
    for worker, job in zip(workers, jobs, strict=True):
        worker.ask(job)
    for worker in workers:
        while "result" not in (message := _message(worker)):
            pass
        for failure in message["result"]["failures"]:
            raise RuntimeError(f"a pack of the benchmark failed: {failure['reason']}")
    seconds = time.perf_counter() - began
    for job in jobs:
        shards.remove(Path(job.folder), job.name)
        for path in (Path(job.folder) / "checkpoints").glob("*"):
            path.unlink()
    return seconds


def _message(worker: AnyWorker) -> dict[str, Any]:
    message = worker.message()
    if message is None:
        raise RuntimeError(f"a worker of the benchmark died ({worker.ended()})")
    return message


def _runs(steps: int) -> list[Run]:
    """The runs of one pack, of so many steps."""
    training = {**MLP_64.study["training"], "max_steps": steps}
    return replace(MLP_64, study={**MLP_64.study, "training": training}).runs(MEMBERS)


def _jobs(runs: list[Run], folder: Path, side: str, count: int, checkpoint_seconds: float) -> list[Job]:
    """The same pack for each of so many workers, under names of their own."""
    return [
        Job(name=f"pack-{number}", folder=str(folder / side), runs=runs, checkpoint_seconds=checkpoint_seconds)
        for number in range(count)
    ]
