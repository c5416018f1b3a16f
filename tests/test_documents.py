"""The blocks of README and docs: studies are valid, Python runs, and commands do what they are shown for."""

import contextlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from dataclasses import replace
from functools import partial
from itertools import chain
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
from deepboot.runners import cli, cli_results, run_study, study_files
from deepboot.runners.commands import plan, tune
from deepboot.runners.run import engine, work
from deepboot.runners.run.trial import Rate
from deepboot.runners.shipped import shipped
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
        assert len(block.splitlines()) <= 20 or page.stem != "README"
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


LOOKS = ("list", "show", "check", "new", "diff", "plan", "claims", "report", "export")  # and train nothing


ON_A_PAGE = {named(block) for page in PAGES for _, block, _ in blocks(page, "toml", "python") if named(block)}


def commands(block):
    """The words of every `deepboot` command in a shell block, and the comment behind it."""
    for line in re.findall(r"(?:^|&& )(?:uv run )?deepboot (.*)", block, re.MULTILINE):
        yield shlex.split(line, comments=True), line.partition("# ")[2]


def carried_out(words):
    """What a command prints; it may say, by its status, that a claim is refuted."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deepboot", *words])
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
    assert status in ((0, 1) if words[0] == "claims" else (0,)), (words, err.getvalue())
    return out.getvalue()


def named_by(words):
    """The study and the folders that a command reads, those that it writes, and the settings of its study."""
    call = cli.app.read(words)
    reads = [name for one in call.args for name in (one if isinstance(one, tuple) else [one]) if name is not None]
    if words[0] not in ("run", "tune"):
        return reads if words[0] not in ("list", "show", "bench") else [], [], call.keywords
    named = tune if words[0] == "tune" else work
    out = call.keywords["out"] or named.default_folder(reads[0])
    return reads, [str(out), *([str(tune.default_file(reads[0]))] if words[0] == "tune" else [])], call.keywords


def is_read_later(folder, text):
    """Whether a command of this page reads a folder."""
    return re.search(rf"^deepboot (?!run|tune).* {re.escape(folder)}\b", text, re.MULTILINE) is not None


def is_cheap(words, needed):
    """Whether a command trains nothing, or a few steps that others need; not where it asks for another machine."""
    elsewhere = any("://" in word for word in words) or "ray" in words
    return "--dry-run" in words or (not elsewhere and (words[0] in LOOKS or (words[0] == "run" and bool(needed))))


def told_only(write, folders, out, axis, *more):
    """Write a report that a command is about; one that comes with training is seen in other tests."""
    return write(folders, out, axis, *more) if sys.argv[1] == "report" else None


@pytest.fixture
def trained_small(demo, tmp_path, monkeypatch, without_figures):
    """A reader's folder with the results of the demo, where commands train few steps and a trial of their pace none."""
    shutil.copytree(demo / "results" / "demo", tmp_path / "results" / "demo")
    monkeypatch.chdir(tmp_path)

    def small(study, out, **settings):
        return run_study(study, out, scale=settings["scale"], changes=[*settings["changes"], *SMALL], workers=1)

    monkeypatch.setattr(engine, "run_study", small)
    monkeypatch.setattr(cli_results, "write_and_tell", partial(told_only, cli_results.write_and_tell))
    monkeypatch.setattr(plan, "measure", lambda trial: Rate(rate=1_000.0))


@pytest.mark.usefixtures("trained_small")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_do_what_they_are_shown_for(page):
    """In their order: those that train nothing, and those that train what another one reads, are carried out.

    Of all others the words are read: options and their values, a study's name and scale. Numbers of runs that a comment
    promises are those that are printed.
    """
    text, made = page.read_text(), {"results/demo", *ON_A_PAGE}
    for language, block, _ in blocks(page, "toml", "python", "sh"):
        if language != "sh":
            if named(block):
                Path(named(block)).write_text(block)
            continue
        for words, comment in commands(block):
            reads, writes, settings = named_by(words)
            for name in reads:
                assert name in made or Path(name).exists() or name in shipped(), (page.name, words)
            here = all(Path(name).exists() or name in shipped() for name in reads)
            if here and is_cheap(words, [name for name in writes if is_read_later(name, text)]):
                printed = carried_out(words)
                for runs in re.findall(r"(\d+) runs", comment):
                    assert re.search(rf"= {runs}$|: {runs} runs", printed, re.MULTILINE), (words, printed)
            elif words[0] in ("run", "tune", "submit") and here:
                study_files.load(reads[0], scale=settings["scale"], changes=[*chain(*settings["changes"])])
            made.update(writes)


def masked(text):
    """A printed text without its numbers, and these."""
    number = r"\d[\d,]*(?:\.\d+)?"
    words = re.sub(number, "#", " ".join(text.split()))
    return words, [float(one.replace(",", "")) for one in re.findall(number, text)]


@pytest.mark.slow
def test_the_tutorials_first_pair_ends_with_what_is_printed_there(tmp_path, monkeypatch):
    """Word for word; numbers, which another processor rounds otherwise, within a third."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "tutorial.md"
    (_, study, _), *_ = blocks(page, "toml")
    Path("pair.toml").write_text(study)
    printed = carried_out(["run", "pair.toml", "--out", "results/pair", "--workers", "1"])
    (_, told, _), *_ = blocks(page, "text")
    words, numbers = masked(told)
    found, measured = masked(printed.partition("\n\nReport:")[0])
    assert found == words
    assert measured == pytest.approx(numbers, rel=1 / 3)


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
