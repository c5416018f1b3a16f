"""Data read ahead: while some steps train, a thread of the host reads those of the next ones.

Shapes: M members, S steps.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

Read = Callable[[int, int], Sequence[Tensor]]  # data of steps start .. stop - 1, each (M, S, ...)


class ReadBlock(NamedTuple):
    """Data of consecutive steps, each (M, S, ...), and the event after which they are on the GPU."""

    steps: range
    parts: Sequence[Tensor]
    copied: torch.cuda.Event | None


class Prefetch:
    """Data of steps in whatever order they are asked for, the same as ``read`` gives, read one block ahead.

    The first block is what the first request asks for, so that no step waits for data of later ones; each block
    after it is twice as long, up to ``longest``. A request elsewhere begins anew. What reading a block raises is
    raised by the request that needs it. A thread lives no longer than the block it reads.

    Args:
        read: called by one thread at a time; what it leaves on a GPU it copies on the stream that is current.
        longest: steps of the longest block.
        end: the step before which reading ahead ends.
        device: where the data are wanted.
    """

    def __init__(self, read: Read, longest: int, end: int, device: torch.device):
        self._read, self._longest, self._end, self._device = read, longest, end, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._alone = threading.Lock()
        self._here = ReadBlock(range(0), (), None)
        self._next = range(0)
        self._coming: Future[ReadBlock] = Future()

    def __call__(self, start: int, stop: int) -> list[Tensor]:
        """Data of steps start .. stop - 1, each (M, S, ...)."""
        pieces = []
        while start < stop:
            if start not in self._here.steps:
                self._move_on(start, stop)
            steps = self._here.steps
            end = min(stop, steps.stop)
            pieces.append([part[:, start - steps.start : end - steps.start] for part in self._here.parts])
            start = end
        return [parts[0] if len(parts) == 1 else torch.cat(parts, 1) for parts in zip(*pieces, strict=True)]

    def _move_on(self, start: int, stop: int) -> None:
        """Take the block that holds step ``start``, and have the one after it read."""
        if start not in self._next:
            self._begin(range(start, stop))
        self._next = range(0)  # a block that cannot be read is tried again by who asks again
        self._here = self._coming.result()
        if self._here.copied is not None:
            training = torch.cuda.current_stream(self._device)
            training.wait_event(self._here.copied)
            for part in self._here.parts:
                part.record_stream(training)  # else its memory might be used again while it is read
        after = self._here.steps.stop
        self._begin(range(after, min(after + min(2 * len(self._here.steps), self._longest), self._end)))

    def _begin(self, steps: range) -> None:
        """Have a thread read these steps."""
        self._next, self._coming = steps, Future()
        if steps:
            reader = ThreadPoolExecutor(1, "ahead")
            self._coming = reader.submit(self._block, steps)
            reader.shutdown(wait=False)  # once the block is read

    def _block(self, steps: range) -> ReadBlock:
        stream = self._stream
        with self._alone, nullcontext() if stream is None else torch.cuda.stream(stream):
            parts = self._read(steps.start, steps.stop)
            return ReadBlock(steps, parts, None if stream is None else stream.record_event())
