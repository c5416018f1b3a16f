"""The blocks of README and docs: studies are valid, Python runs, and commands have the options that they are given."""

import contextlib
import io
import re
import shlex
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser

from deepboot import runners
from deepboot.bootstrap import registry
from deepboot.bootstrap.study.schema import Study
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.train import train
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.runners import cli, run_study, study_files
from tests.bootstrap.conftest import parity

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = ["training.seeds=2", "training.max_steps=6", "data.test_samples=32"]  # what is shown, in a second


def blocks(page, language):
    """The parsed blocks of a page in one language, in their order, with the line that each begins at."""
    document = Document.parse(str(page), CodeBlockParser(language, lambda example: None))
    return [(example.parsed, example.line) for example in document.examples()]


def named(block):
    """The file that a block's first line names, "# majority.py"; None where it names none."""
    found = re.match(r"# (\w+\.(?:py|toml))\n", block)
    return found and found[1]


@cache
def help_of(command):
    """What `deepboot COMMAND --help` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deepboot", command, "--help"])
        cli.main()
    return out.getvalue()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder in which a reader stands, with the demo's results, in small."""
    folder = tmp_path_factory.mktemp("reader")
    run_study("demo", folder / "results" / "demo", changes=[*SMALL, "training.train_size=24"], workers=1)
    return folder


@pytest.fixture
def reader(demo, monkeypatch):
    """A reader's folder, where every study is trained for six steps: a block is to run, not to find something."""
    monkeypatch.chdir(demo)
    monkeypatch.setattr(
        runners,
        "run_study",
        lambda study, out="results/small": run_study(study, out, changes=[*SMALL, "training.train_size=24"], workers=1),
        raising=False,
    )
    return demo


def use(kind, name, folder):
    """Train a pair with a newly registered entry, or judge the demo by a kind of claim."""
    if kind == "claim":
        results = runners.run_study("demo", "results/demo")
        (case,) = judge(
            compare(type(results)(**{**vars(results), "study": {"claims": [{"kind": name}]}, "claims": {}}))
        )
        assert case.verdict == "inconclusive"
        return
    task = {"name": "gaussian"} if kind == "model" else parity()["task"]
    outcomes = train(runs_of(parity(task=task) | {kind: {"name": name}}))
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run_as_they_stand(page, reader):
    """Python first, in order; what it registers is trained in both worlds; then every study is expanded into runs."""
    namespace = {}
    for block, line in blocks(page, "python"):
        before = {kind: set(registry.names(kind)) for kind in registry.KINDS}
        if named(block):
            (reader / named(block)).write_text(block)
            registry.load_plugin(reader / named(block))
        elif "@register" not in block:  # a probe is shown without its imports, and is tested beside its study
            exec(compile("\n" * line + block, str(page), "exec"), namespace)
        for kind in registry.KINDS:
            for name in set(registry.names(kind)) - before[kind]:
                use(kind, name, reader)
    for block, line in blocks(page, "toml"):
        tables = tomllib.loads(block)
        assert set(tables) <= set(Study.model_fields), f"{page.name}, line {line}"
        if "question" in tables:
            path = reader / (named(block) or "block.toml")
            path.write_text(block)
            assert runs_of(study_files.load(path)), f"{page.name}, line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page):
    """Every `deepboot` of a shell block is known, and so is each of its options."""
    for block, _ in blocks(page, "sh"):
        for command in re.findall(r"(?:^|&& )(?:uv run )?deepboot (.*)", block, re.MULTILINE):
            name, *words = shlex.split(command, comments=True)
            known = help_of(name)
            assert f"deepboot {name}" in known.splitlines()[0]
            assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", known)), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_fence_has_a_language_that_is_tested(page):
    """Or is text; and pictures and pages that are linked are there, small enough for a page."""
    text = page.read_text()
    assert set(re.findall(r"^```(\w*)", text, re.MULTILINE)) <= {"", "toml", "python", "sh", "text"}
    assert text.count("\n```") % 2 == 0
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", text):
        path = page.parent / target
        assert path.exists(), target
        if path.suffix in (".svg", ".png") and path.parent.name == "figures":
            assert path.stat().st_size < (150_000 if path.suffix == ".png" else 60_000), target
