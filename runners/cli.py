"""The command line, ``deepboot``. Heavy imports wait until a command needs them, so that help is quick."""

import os
import signal
import sys
import threading
from errno import EACCES, ELOOP, ENAMETOOLONG, ENOTDIR
from typing import NoReturn

from deepboot.runners.cli_machine import bench, doctor
from deepboot.runners.cli_names import check, data, list_, new, show
from deepboot.runners.cli_results import claims, diff, export, report
from deepboot.runners.cli_training import demo, plan, run, submit, tune, watch
from deepboot.runners.cli_words import again, fail
from deepboot.runners.command_line import Application

COMMANDS = (  # in the order of the help
    demo, run, tune, submit, report, watch, claims, plan, diff, export, list_, show, data, bench, new, check, doctor,
)  # fmt: skip
UNUSABLE = (EACCES, ELOOP, ENAMETOOLONG, ENOTDIR)  # of paths that a person may have written

app = Application(
    "deepboot",
    "Train identical models on finite and on endless data, and compare.",
    {command.__name__.rstrip("_"): command for command in COMMANDS},
    "deep-bootstrap",
)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of ``deepboot``: mistakes end with exit status 2 and one sentence each."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    try:
        app.cli(sys.argv[1:])
    except KeyboardInterrupt:
        fail(["Stopped before it was done; no trained run is lost. The same command begins again:" + again()], 130)
    except ValueError as error:
        problems = getattr(error, "problems", None)
        if problems is None and type(error) is not ValueError:
            raise  # only our own sentences are meant for the person at the terminal
        fail(problems or [str(error)])
    except BrokenPipeError:  # whoever read the lines, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else closing it raises again
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNUSABLE or error.filename is None:
            raise
        from deepboot.bootstrap.study.paths import unusable

        fail([unusable(str(error.filename), error)])


if __name__ == "__main__":
    main()
