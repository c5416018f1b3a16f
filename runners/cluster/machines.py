"""The machines of a Ray cluster: their devices, trials on them, and jobs done by actors."""

from pathlib import Path
from typing import final

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.cluster import travel
from deepboot.runners.cluster.actors import Actors, Place, RayWorker
from deepboot.runners.cluster.nodes import alive, slots
from deepboot.runners.run.crew import Bench, Crew
from deepboot.runners.run.execute import Failure, Job
from deepboot.runners.run.execution_plan import ExecutionPlan
from deepboot.runners.run.pool import Observer
from deepboot.runners.run.terminal import stoppable


@final
class RayMachines:
    """What the cluster has that this process is connected to.

    Args:
        gpu_share: of one GPU that a worker gets, in (0, 1].
        wait_seconds: that a missing device is waited for.
    """

    def __init__(self, gpu_share: float, wait_seconds: float):
        self._gpu_share, self._wait_seconds = gpu_share, wait_seconds

    def device(self, asked: str) -> str:
        """The device to train on; of "auto", GPUs if any node has one.

        Raises:
            StudyError: CUDA was asked for, and no node has a GPU.
        """
        found = slots(alive(), "cuda", 1, 1.0)
        if asked == "cuda" and not found:
            raise StudyError(
                [f"--device cuda: none of the cluster's {len(alive())} nodes has a GPU that Ray knows of. Use --device "
                 "cpu or auto, or look at `ray status`."]
            )  # fmt: skip
        return "cuda" if asked == "auto" and found else "cpu" if asked == "auto" else asked

    def workers(self, device: str, asked: int | None, known: ExecutionPlan | None = None) -> int:
        """Actors: as many as were asked for, or as the cluster has devices for now; at least one, which may wait."""
        threads = known.threads if known is not None else 1
        return asked or max(1, slots(alive(), device, threads, self._gpu_share))

    def threads(self, asked: int | None) -> int:
        """Always one: a cluster's cores do not belong to one process."""
        return 1

    def bench(self, device: str) -> Bench[RayWorker]:
        """Trials by actors."""
        return Bench(self._actors(device, 1))

    def run_jobs(self, jobs: list[Job], *, workers: int, observer: Observer) -> list[Failure]:
        """Do all jobs, the longest first; the failures among them come back, in no order.

        Raises:
            KeyboardInterrupt: a stop was asked for; checkpoints have been written.
        """
        execution = jobs[0].execution
        with stoppable(), travel.token(Path(jobs[0].folder).resolve()) as token:
            crew = Crew(map(_for_any_folder, jobs), observer, self._actors(execution.device, execution.threads, token))
            return crew.work(min(workers, len(jobs)))

    def _actors(self, device: str, threads: int, token: Path = Path()) -> Actors:
        return Actors(Place(device, threads, self._gpu_share, self._wait_seconds, token))


def _for_any_folder(job: Job) -> Job:
    """A job with whole paths: actors work in folders of their own."""
    plugins = tuple(str(Path(plugin).resolve()) for plugin in job.plugins)
    return job.model_copy(update={"folder": str(Path(job.folder).resolve()), "plugins": plugins})
