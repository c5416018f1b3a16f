"""The lock of a location: a file that says who writes there, renewed as long as that goes on.

No file system at a distance lets a lock go with its process. So whoever holds one renews it every few seconds, and one
that was not renewed for a while, or whose process on this machine is dead, is taken over.
"""

import json
import os
import platform
import time
from datetime import datetime
from typing import Any, final
from uuid import uuid4

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.live.folder import is_alive
from deepboot.runners.live.pace import duration
from deepboot.runners.remote.location import Location

FILE = ".writer.json"
LEASE_SECONDS = 120.0  # without a sign, after which a lock is taken over
SETTLE_SECONDS = 1.0  # for two who take over at once to see who was last


@final
class Lock:
    """The right to write at a location.

    Args:
        where: the location.

    Raises:
        StudyError: another process writes there, or it cannot be reached.
    """

    def __init__(self, where: Location):
        self._where, self._path = where, where.inside(FILE)
        self._own = {
            "key": uuid4().hex, "process": os.getpid(), "host": platform.node(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }  # fmt: skip
        self.taken_over = ""
        with where.reached():
            self._take()

    def _take(self) -> None:
        try:
            self._where.system.pipe_file(self._path, self._content(), mode="create")
        except FileExistsError:
            other = self._holder()
            if not _is_over(other):
                raise StudyError([
                    f"{self._where.url} is being written by {_who(other)}. Wait for it, or choose another with --out."
                ]) from None  # fmt: skip
            self.taken_over = f"{self._where.url} was held by {_who(other)}, which is gone: its lock is taken over."
            self.renew()
            time.sleep(SETTLE_SECONDS)
        if not self.is_own():  # two came at once
            raise StudyError([
                f"{self._where.url} is being written by {_who(self._holder())}. Wait for it, or choose another with "
                "--out."
            ])  # fmt: skip

    def renew(self) -> None:
        """Give a sign that the location is still written."""
        self._where.system.pipe_file(self._path, self._content())

    def is_own(self) -> bool:
        """Whether nobody has taken it over."""
        return self._holder().get("key") == self._own["key"]

    def release(self) -> None:
        """Let it go, if it is still ours."""
        if self.is_own():
            self._where.system.rm_file(self._path)

    def _content(self) -> bytes:
        return json.dumps({**self._own, "seen": time.time()}).encode()

    def _holder(self) -> dict[str, Any]:
        """What the file says; nothing where there is none, or none that can be read."""
        try:
            held = json.loads(self._where.system.cat_file(self._path))
        except (FileNotFoundError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}


def _is_over(holder: dict[str, Any]) -> bool:
    """Whether who holds a lock is gone."""
    if holder.get("host") == platform.node():
        return not is_alive(int(holder.get("process", 0)))
    return time.time() - float(holder.get("seen", 0)) > LEASE_SECONDS


def _who(holder: dict[str, Any]) -> str:
    """The process that holds a lock, as far as it says so."""
    if "process" not in holder:
        return "another process"
    silent = duration(max(time.time() - float(holder.get("seen", 0)), 0.0))
    return f"process {holder['process']} on {holder['host']} since {holder['since']} (last sign {silent} ago)"
