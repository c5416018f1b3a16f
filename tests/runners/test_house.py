"""The house: imports run down only, packages install under their names."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = {
    "bootstrap": set(),
    "datasets": {"bootstrap"},
    "reports": {"bootstrap"},
    "runners": {"bootstrap", "datasets", "reports"},
}


def imported(path):
    """Top-level names that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_imports_run_down_only():
    """Bootstrap knows no sibling, datasets and reports only it, runners all; reports loads no torch."""
    for package, below in FLOORS.items():
        for path in (ROOT / package).rglob("*.py"):
            above = set(FLOORS) - below - {package}
            if package == "reports":
                above.add("torch")
            assert not above & set(imported(path)), path


def test_the_top_level_is_the_promised_one():
    """Nothing but the four packages, tests and the usual small files."""
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert top <= {*FLOORS, "tests", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
                   "LOG.md", ".ci", ".gitignore"}  # fmt: skip
