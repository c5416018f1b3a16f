"""A page in headless Chromium, driven over its DevTools protocol through two pipes: no further package is needed."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",  # it does not start as root otherwise, and the pages are our own
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
]
WAIT_SECONDS = 20
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "0": 48,
    "+": 187,
    "-": 189,
}


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, under numbers that leave 3 and 4 free: the browser reads and writes there."""
    ends = os.pipe()
    numbers = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return numbers[0], numbers[1]


class Browser:
    """One tab. Everything that the page logs as an error, throws or requests is kept.

    Attributes:
        errors: messages of the console at level error, and exceptions that nothing caught.
        requests: addresses that were asked for, first the page's own; `data:` and `blob:` do not leave it.
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._out = _pipe()
        self._in, from_browser = _pipe()
        command = [str(PROGRAM), *FLAGS, f"--user-data-dir={self._profile.name}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._unread, self._number, self._loaded = b"", 0, False
        self._session: str | None = None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait()
        self._profile.cleanup()

    def command(self, method: str, **settings: Any) -> dict[str, Any]:
        """The answer to one command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": settings}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._keep(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def open(self, page: Path) -> None:
        """Load a file, and wait until it has loaded."""
        self._loaded = False
        self.command("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._keep(self._next())

    def value(self, expression: str) -> Any:
        """What an expression is worth in the page; promises are awaited."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """The first value of an expression that is true."""
        end = time.monotonic() + WAIT_SECONDS
        while not (value := self.value(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} did not become true; errors: {self.errors}")
            time.sleep(0.02)
        return value

    def mouse(self, kind: str, x: float, y: float, **settings: Any) -> None:
        """One event of a mouse, at a point of the window: "mouseMoved", "mousePressed", "mouseReleased"."""
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **settings)

    def click(self, x: float, y: float) -> None:
        """Move there, press and let go."""
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def key(self, name: str) -> None:
        """Press a key and let go: "ArrowDown", "Enter", and so on."""
        number = KEYS[name]
        for kind in ("rawKeyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=number)

    def picture(self, path: Path) -> None:
        """The window as a PNG file."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))

    def _next(self) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self._unread:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("chromium ended")
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))

    def _keep(self, message: dict[str, Any]) -> None:
        """Remember what a test asks about."""
        method, settings = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(settings["exceptionDetails"].get("exception", {}).get("description")))
        elif method == "Runtime.consoleAPICalled" and settings["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(part.get("value")) for part in settings["args"]))
        elif method == "Log.entryAdded" and settings["entry"]["level"] == "error":
            self.errors.append(settings["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not settings["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(settings["request"]["url"])
