"""The blocks of README and docs: studies are valid, Python runs, and commands have the options that they are given."""

import contextlib
import io
import re
import shlex
import sys
import tomllib
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser

from deepboot import runners
from deepboot.bootstrap import registry
from deepboot.bootstrap.study.schema import Study
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.train import train
from deepboot.reports import load
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.runners import cli, run_study, study_files
from tests.bootstrap.conftest import parity

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = [
    "training.seeds=2",
    "training.max_steps=6",
    "data.test_samples=32",
]  # what is shown is to run, not to find something


def blocks(page, *languages):
    """A page's blocks in these languages, in their order: the language, the text, and the line that it begins at."""
    parsers = [CodeBlockParser(language, lambda example: None) for language in languages]
    examples = Document.parse(str(page), *parsers).examples()
    return [(example.region.lexemes["arguments"], example.parsed, example.line) for example in examples]


def named(block):
    """The file that a block's first line names, "# majority.py"; None where it names none."""
    found = re.match(r"# (\w+\.(?:py|toml))\n", block)
    return found and found[1]


@cache
def help_of(command):
    """What `deepboot COMMAND --help` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deepboot", command, "--help"])
        cli.main()
    return out.getvalue()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder in which a reader stands, with the demo's results, in small."""
    folder = tmp_path_factory.mktemp("reader")
    run_study("demo", folder / "results" / "demo", changes=SMALL, workers=1)
    run_study("modular-addition", folder / "results" / "addition", changes=[*SMALL, "keep.weights=final"], workers=1)
    return folder


@pytest.fixture
def reader(demo, monkeypatch):
    """A reader's folder, where every study is trained for six steps: a block is to run, not to find something."""
    monkeypatch.chdir(demo)
    small = partial(run_study, changes=SMALL, workers=1)
    monkeypatch.setattr(runners, "run_study", small, raising=False)
    return demo


def use(kind, name):
    """Train a pair with a newly registered entry, or judge the demo by a kind of claim."""
    if kind == "claim":
        results = load("results/demo")
        claimed = replace(results, study=results.study | {"claims": [{"kind": name}]}, claims={})
        assert [judgement.verdict for judgement in judge(compare(claimed))] == ["inconclusive"]
        return
    task = {"name": "majority"} if kind == "model" else parity()["task"]  # the model that is shown reads vectors
    outcomes = train(runs_of(parity(task=task) | {kind: {"name": name}}))
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]


def run_python(block, line, page, namespace):
    """Load what names its file as a plugin, and use what it registers; execute the rest."""
    before = {kind: set(registry.names(kind)) for kind in registry.KINDS}
    if named(block):
        assert len([row for row in block.splitlines() if row.strip()]) <= 20 or page.stem != "README"
        Path(named(block)).write_text(block)
        registry.load_plugin(Path(named(block)).resolve())
    elif "@register" not in block:  # the probe is shown without its imports: tests/test_readme.py adds them
        exec(compile("\n" * line + block, str(page), "exec"), namespace)
    for kind in registry.KINDS:
        for name in set(registry.names(kind)) - before[kind]:
            use(kind, name)


def check_study(block, line, page):
    """Expand a whole study into its runs; of a part of one, know the tables."""
    tables = tomllib.loads(block)
    assert set(tables) <= set(Study.model_fields) | {"sweep", "published", "claims"}, f"{page.name}, line {line}"
    if "question" in tables:
        path = Path(named(block) or "block.toml")
        path.write_text(block)
        assert runs_of(study_files.load(path)), f"{page.name}, line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run_as_they_stand(page, reader):
    """In their order: a study is expanded into runs, Python runs, and what it registers is trained in both worlds."""
    namespace = {}
    for language, block, line in blocks(page, "toml", "python"):
        if language == "python":
            run_python(block, line, page, namespace)
        else:
            check_study(block, line, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page):
    """Every `deepboot` of a shell block is known, and so is each of its options."""
    for _, block, _ in blocks(page, "sh"):
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
