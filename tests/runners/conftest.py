"""A study of seconds, as a file, and the command line as a person runs it."""

import contextlib
import io
import subprocess
import sys

import pytest
import tomli_w

from deepboot.runners import cli
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
def deepboot(monkeypatch):
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
