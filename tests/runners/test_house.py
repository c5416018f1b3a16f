"""The house: imports run down only, between the packages and between the floors inside them."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {
    "bootstrap": set(),
    "datasets": {"bootstrap"},
    "reports": {"bootstrap"},
    "runners": {"bootstrap", "datasets", "reports"},
}
# floors of a package from the top down: a file or folder imports its own floor and those after it
FLOORS = {
    "bootstrap": [
        {"training"},
        {"samples"},
        {"study"},
        {
            "models",
            "probes",
            "worlds",
            "draws",
            "usage",
            "optimizers",
            "muon",
            "torch_optimizers",
            "losses",
            "penalties",
            "transforms",
            "constructions",
            "results",
            "underway",
            "probe_values",
        },
        {
            "task",
            "streams",
            "registry",
            "plugins",
            "metrics",
            "events",
            "cyclic",
            "output_weights",
            "columns",
            "files",
            "wording",
            "descriptions",
        },
    ],
    "reports": [
        {"notebook"},
        {"page"},
        {"tables", "figures", "planning", "interactive"},
        {"replication"},
        {"claims"},
        {"measures", "representation"},
        {"comparison", "cell_tables", "at_step"},
        {"cells", "statistics"},
        {"text", "time_axis"},
    ],
    "runners": [
        {"cli"},
        {"cli_training"},
        {"cli_results", "cli_names", "cli_machine"},
        {"commands", "bench"},
        {"cluster"},
        {"run"},
        {"remote"},
        {"live", "sinks"},
        {"study_files", "shipped", "builtins", "command_line", "cli_options", "cli_words"},
    ],
}
LEVEL = {f"{package}.{room}": place for package, floors in FLOORS.items() for place, floor in enumerate(floors)
         for room in floor}  # fmt: skip


def imported(path):
    """The full names that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    """Those of this project, from the package on: "bootstrap.streams.keys"."""
    return [name.removeprefix("deepboot.") for name in imported(path) if name.startswith("deepboot.")]


def room(name):
    """The first two parts of a name or path: "bootstrap.streams"."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("package", BELOW)
def test_imports_run_down_only(package):
    """Bootstrap knows no sibling, datasets and reports only it, runners all; reports loads no torch."""
    for path in (ROOT / package).rglob("*.py"):
        assert {name.split(".")[0] for name in ours(path)} <= BELOW[package] | {package}, path
        if package == "reports":
            assert "torch" not in {name.split(".")[0] for name in imported(path)}, path


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_down_inside_a_package(package):
    """And every file or folder has its floor."""
    for path in (ROOT / package).rglob("*.py"):
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if own.endswith("__init__"):
            continue
        inside = [name for name in ours(path) if name.startswith(f"{package}.")]
        above = [name for name in inside if LEVEL.get(room(name), 99) < LEVEL[own]]
        assert not above, path


def test_every_folder_is_installed():
    """The list of packages names each folder with Python files, and no other."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for package in BELOW for path in (ROOT / package).rglob("*.py")}
    assert sorted(listed) == sorted(".".join(["deepboot", *folder.parts]) for folder in folders)


def test_the_readmes_map_of_the_house_names_every_file():
    """Each folder has a line, with every file in it, and there is no folder that is not there."""
    (house,) = re.findall(r"## How the code is organised\n\n((?:    .*\n)+)", (ROOT / "README.md").read_text())
    lines, outer, folder = dict[str, str](), "", ""
    for line in house.splitlines():
        named = re.match(r" {4}( {0,2})(\S+/) +(.*)", line)
        if named:
            outer = outer if named[1] else named[2]
            folder = outer + named[2] if named[1] else outer
        lines[folder] = lines.get(folder, "") + " " + line
    files = [path for package in BELOW for path in (ROOT / package).rglob("*.py")]
    with_code = {f"{path.parent.relative_to(ROOT)}/" for path in files}
    assert set(lines) == with_code | {"tests/"}
    for folder in with_code:
        inside = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}
        assert inside <= set(re.findall(r"\w+", lines[folder])), folder


def test_the_top_level_is_the_promised_one():
    """Nothing but the four packages, tests and the usual small files."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert top <= {*BELOW, "tests", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
                   "LOG.md", "CITATION.cff", "docs", ".ci", ".gitignore", ".pre-commit-config.yaml"}  # fmt: skip
