"""TensorBoard: an event file a run, under ``tensorboard/`` in the output folder, as evaluations come in."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

from tensorboardX import SummaryWriter

from deepboot.bootstrap.study.run import Run
from deepboot.runners.sinks.sink import Row, Sink, name_of, values_of


@final
class TensorBoard(Sink):
    """Curves for ``tensorboard --logdir``.

    A run that goes on from a checkpoint tells of its evaluations again; TensorBoard then forgets the earlier ones.
    """

    def __init__(self, folder: Path):
        self._folder = folder / "tensorboard"
        self._writers: dict[str, SummaryWriter] = {}

    def add(self, run: Run, rows: Sequence[Row]) -> None:
        writer = self._writers.get(run.run_id)
        if writer is None:
            writer = SummaryWriter(str(self._folder / name_of(run)), purge_step=rows[0]["step"], flush_secs=10)
            self._writers[run.run_id] = writer
        for row in rows:
            for name, value in values_of(row).items():
                writer.add_scalar(name, value, row["step"])

    def finish(self, run: Run) -> None:
        writer = self._writers.pop(run.run_id, None)
        if writer is not None:
            writer.close()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
