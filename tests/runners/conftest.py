"""A study of seconds, as a file, and the command line as a person runs it."""

import contextlib
import io
import subprocess
import sys

import pytest
import tomli_w

from deepboot.runners import cli, run_study
from deepboot.runners.run import checkpoints, execute, local
from tests.bootstrap.conftest import parity


@pytest.fixture
def study(tmp_path):
    """Writes a small study (keyword arguments as in ``parity``) and returns its path."""

    def write(name="small.toml", **changes):
        path = tmp_path / name
        raw = parity(**changes)
        raw["training"] = {key: value for key, value in raw["training"].items() if value is not None}
        path.write_text(tomli_w.dumps(raw))
        return path

    return write


@pytest.fixture
def deepboot(deepboot_with_figures, without_figures):
    """Runs the command line in this process; its reports have no static figures."""
    return deepboot_with_figures


@pytest.fixture
def deepboot_with_figures(monkeypatch):
    """Runs the command line in this process (starting it anew takes seconds) and returns what came back."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["deepboot", *map(str, words)])
        out, err, status = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                status = end.code
        return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def interrupted_at_5(monkeypatch):
    """Runs a study, a pair a pack, until one pack is done, and interrupts it at the next one's checkpoint at step 5."""

    def run(path, out, **options):
        write = checkpoints.write_checkpoint

        def stop_at_5(job, progress, note, cache):
            if list((out / "shards").glob("*.json")):
                monkeypatch.setattr(execute.checkpoints, "write_checkpoint", and_stop)
                job = job.model_copy(update={"checkpoint_seconds": 0.0})
            return execute.execute(job, progress, note, cache)

        def and_stop(place, pack, outcomes, execution):
            write(place, pack, outcomes, execution)
            if int(outcomes[0].state["step"]) >= 5:
                execute.stopping.set()  # as a signal does: the step that heeds it has just written its checkpoint

        monkeypatch.setattr(local, "execute", stop_at_5)
        with pytest.raises(KeyboardInterrupt):
            run_study(path, out, workers=1, **{"pack_size": 2, **options})
        monkeypatch.undo()

    return run
