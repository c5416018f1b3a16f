"""What is built and installed is whole: every file of the four packages, and a command that trains."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import tomli_w

from tests.bootstrap.conftest import parity

ROOT = Path(__file__).parents[1]
PACKAGES = ("bootstrap", "datasets", "reports", "runners")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="builds with uv")]


def run(*words, **options):
    """What a command prints; it has to succeed."""
    ran = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def tracked(*folders):
    """The files of the repository, or of some of its folders."""
    return run("git", "ls-files", *folders, cwd=ROOT).splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Paths of the wheel and the sdist, built from the tracked files, with the setuptools of uv's cache."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    run("uv", "build", "--quiet", "--out-dir", out, source)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def test_wheel_and_sdist_hold_every_file_of_the_packages(built):
    """Templates, studies, assets and py.typed with the code; the wheel under one name, and nothing beside it."""
    wheel, sdist = built
    files = set(tracked(*PACKAGES))
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == {f"deepboot/{name}" for name in files}
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside >= files | {"README.md", "LICENSE", "pyproject.toml"}
    kinds = {"py.typed", "templates/report.html.j2", "studies/demo.toml", "assets/figure.js"}
    assert all(any(name.endswith(kind) for name in files) for kind in kinds)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_study_runs_from_an_installed_wheel(built, tmp_path, version):
    """In a clean environment, away from the clone; the sdist installs, too."""
    found = subprocess.run(["uv", "python", "find", "--no-python-downloads", version], capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"no Python {version} here")
    wheel, sdist = built
    python, deepboot = tmp_path / "env/bin/python", tmp_path / "env/bin/deepboot"
    run("uv", "venv", "--quiet", "--no-python-downloads", "--python", version, tmp_path / "env")
    run("uv", "pip", "install", "--quiet", "--python", python, wheel)
    (tmp_path / "small.toml").write_text(tomli_w.dumps(parity(training__seeds=2)))
    assert "usage: deepboot" in run(deepboot, "--help", cwd=tmp_path)
    assert "sparse_parity" in run(deepboot, "list", "tasks", cwd=tmp_path)
    assert "Report: out/report.html" in run(deepboot, "run", "small.toml", "--out", "out", cwd=tmp_path)
    assert "<svg" in (tmp_path / "out/report.html").read_text()
    run("uv", "pip", "install", "--quiet", "--python", python, "--reinstall", "--no-deps", sdist)
    assert "usage: deepboot" in run(deepboot, "--help", cwd=tmp_path)
