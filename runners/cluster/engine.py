"""The engine that trains on a Ray cluster, or on this machine by Ray; Ray itself is loaded when it is started."""

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import clipped
from deepboot.runners.run.local import cores

if TYPE_CHECKING:
    from deepboot.runners.cluster.machines import RayMachines

CONNECT_SECONDS = 10.0
OBJECT_STORE_BYTES = 100 << 20  # checkpoints travel at most: Ray would take a third of the memory


@dataclass(frozen=True)
class RayEngine:
    """Actors of a Ray cluster.

    Attributes:
        address: "HOST:PORT" of `ray start --head`, or "auto" for the cluster that this machine is a node of; None
            starts Ray on this machine alone, for as long as the study is trained.
        gpu_share: of one GPU that a worker gets, in (0, 1].
        wait_seconds: that a missing device is waited for.

    Raises:
        StudyError: a setting is not possible.
    """

    address: str | None = None
    gpu_share: float = 1.0
    wait_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.gpu_share <= 1:
            raise StudyError([
                f"--gpu-share: expected a share of one GPU in (0, 1], got {self.gpu_share:g}. Write 0.5 for two "
                "workers on each GPU."
            ])  # fmt: skip
        if self.address is not None and self.address != "auto" and not re.fullmatch(r"[^:/\s]+:\d{1,5}", self.address):
            raise StudyError([
                f"--address {clipped(self.address)}: expected HOST:PORT, as `ray start --head` says it, or auto for "
                "the cluster that this machine belongs to."
            ])  # fmt: skip

    @contextmanager
    def started(self) -> Iterator["RayMachines"]:
        """The cluster's machines, as long as ``with`` lasts; a connection that this process has is used and left.

        Raises:
            StudyError: Ray is not installed, or no cluster answers.
        """
        ray = _imported()

        from deepboot.runners.cluster.machines import RayMachines

        connected = ray.is_initialized()
        if not connected:
            with _own_signals():
                _connect(ray, self.address)
        try:
            yield RayMachines(self.gpu_share, self.wait_seconds)
        finally:
            if not connected:
                ray.shutdown()


def _imported() -> Any:
    """Ray.

    Raises:
        StudyError: it is not installed.
    """
    if find_spec("ray") is None:
        raise StudyError([
            '--engine ray: the package ray is not installed. Run `pip install "deep-bootstrap[cluster]"`.'
        ])  # fmt: skip
    import ray

    return ray


@contextmanager
def started_here(cpus: int) -> Iterator[None]:
    """Ray on this machine, as long as ``with`` lasts, which takes it to have so many CPUs.

    Raises:
        StudyError: Ray is not installed.
    """
    ray = _imported()
    with _own_signals():
        _start(ray, cpus)
    try:
        yield
    finally:
        ray.shutdown()


def _start(ray: Any, cpus: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere from here
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15, with which other work here would come first
    ray.init(
        "local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, logging_level="ERROR"
    )


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one of this machine.

    Raises:
        StudyError: no cluster answers.
    """
    if address is None:
        _start(ray, cores())
        return
    try:
        if address != "auto":  # Ray itself asks for minutes, and then ends the process
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(address, logging_level="ERROR")
    except (OSError, OverflowError, RuntimeError) as error:
        raise StudyError([
            f"--address {address}: no Ray cluster answers there ({str(error).splitlines()[0]}). Start one with "
            "`ray start --head`, or leave --address out to train on this machine."
        ]) from error  # fmt: skip


@contextmanager
def _own_signals() -> Iterator[None]:
    """Signals mean afterwards what they meant before: Ray answers SIGTERM in its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
