"""The table of shipped studies: narrow enough for a terminal, and the same in the README."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.reports.replication.verdict import OUTCOMES
from deepboot.runners.commands import studies, studies_table, study_details
from deepboot.runners.commands.work_of_studies import hours, operations
from deepboot.runners.shipped import shipped

README = (Path(__file__).parents[3] / "README.md").read_text()
RAW = {name: tomllib.loads(path.read_text()) for name, path in shipped().items()}


def test_the_table_of_the_readme_is_that_of_the_study_files():
    """`deepboot list studies --markdown` prints it; paste what it prints where this differs."""
    assert "deepboot list studies --markdown" in README
    assert studies_table.markdown() in README


def test_the_times_of_the_readme_are_those_of_the_study_files():
    """Of the studies of the Deep Bootstrap too."""
    rows = re.findall(
        r"^\| (`.*?) \|.*\| ([^|]*) \|$",
        README.partition("## The studies")[2].partition("## How it compares")[0],
        re.MULTILINE,
    )
    times = {name: time for names, time in rows for name in re.findall(r"`([\w-]+)`", names) if time.endswith(" min")}
    assert len(times) == 9
    for name, time in times.items():
        assert RAW[name]["cost"]["default"].startswith(f"{time} on 2 cores"), name


@pytest.mark.parametrize("name", RAW)
def test_costs_are_of_scales_that_a_study_has(name):
    """Or of none; and numbers of ours end with a verdict."""
    assert set(RAW[name].get("cost", {})) <= {"default", *RAW[name].get("scale", {})}
    for entry in RAW[name].get("published", []):
        assert not entry.get("ours") or entry["ours"].endswith(tuple(OUTCOMES))


@pytest.mark.parametrize("name", RAW)
def test_verdicts_are_of_all_claims_of_a_study(name):
    """In the words that `deepboot claims` ends with, of scales that the study has."""
    verdicts, scales = RAW[name].get("verdicts", {}), {"default": {}, **RAW[name].get("scale", {})}
    assert set(verdicts) <= set(scales)
    for scale, said in verdicts.items():
        found = re.fullmatch(r"(\d+) of (\d+) claims? supported(?:, (\d+) refuted)?(?:, (\d+) undecided)?", said)
        assert found, said
        supported, claims, *others = (int(number or 0) for number in found.groups())
        assert claims == len(scales[scale].get("claims", RAW[name]["claims"])) == supported + sum(others)


def test_a_study_without_a_published_number_is_listed_with_its_verdicts():
    """At its own size, or else at the first scale that was judged."""
    both = {"verdicts": {"quick": "1 of 2 claims supported", "default": "2 of 2 claims supported"}}
    small = {"scale": {"quick": {}, "full": {}}, "verdicts": {"full": "1 of 1 claim supported", "quick": "none"}}
    assert studies.outcome(both) == "2 of 2 claims supported"
    assert studies.outcome(small) == "quick: none"
    assert studies.outcome({"scale": {"quick": {}}}) == ""


def test_the_list_fits_a_terminal():
    """Every study with its question and paper, in 100 columns."""
    printed = "\n".join(studies.lines())
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.splitlines()[0].split() == ["study", "pairs", "time", "on", "a", "CPU", "published", "ours"]
    words = " ".join(printed.split())
    for name, raw in RAW.items():
        assert f"\n{name} " in printed
        assert " ".join(f"{raw['question']} ({studies.paper(raw)})".split()) in words


def test_the_list_needs_no_torch():
    """Loading it takes longer than all that the list does."""
    code = (
        "import sys; from deepboot.runners.commands.studies import lines; list(lines()); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_one_study_in_full():
    """Runs and time at each scale, claims, published numbers, and the next command."""
    printed = "\n".join(study_details.details("power-division")).splitlines()
    assert any(
        re.fullmatch(r"as it is         12 runs, time not measured; about .* at 1e\+13 a second", line)
        for line in printed
    )
    (quick,) = (line for line in printed if line.startswith("--scale quick"))
    assert re.fullmatch("--scale quick    16 runs, .* s on 1 core, 4 of 4 claims supported", quick)
    (full,) = (line for line in printed if line.startswith("--scale full"))
    work = operations(study_details.cells_here("power-division", "full"))
    price = f"about {work:.1e} floating-point operations, {hours(work)} hours at 1e+13 a second"
    assert full == f"--scale full     16 runs, time not measured; {price}"
    assert "claim      Most runs generalise within the budget." in printed
    assert "published  step at most 10,000 (Power et al. 2022, arXiv 2201.02177; evidence: solid)" in printed
    assert "           left open: positions; starting distributions; at quick size an MLP and p = 31" in printed
    assert printed[-1] == "Next: deepboot run power-division --dry-run"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["tasks", "demo"],
            "NAME, --markdown and --full: expected after `deepboot list studies`, got them after "
            "`deepboot list tasks`. Write for instance `deepboot list studies demo`.",
        ),
        (
            ["--markdown"],
            "NAME, --markdown and --full: expected after `deepboot list studies`, got them after "
            "`deepboot list all`. Write for instance `deepboot list studies demo`.",
        ),
    ],
)
def test_a_name_belongs_to_a_study(deepboot, words, message):
    """Status 2 and the full sentence."""
    ran = deepboot("list", *words)
    assert (ran.returncode, ran.stderr) == (2, f"{message}\n")


def test_an_unknown_study_is_answered_with_the_nearest():
    """As where it is run."""
    with pytest.raises(StudyError) as caught:
        list(study_details.details("dmeo"))
    assert caught.value.problems == [f"unknown study 'dmeo'. Did you mean 'demo'? It is one of {len(RAW)} known names."]


def test_every_study_is_in_one_of_the_readmes_two_tables():
    """That of grokking and double descent is the command's; the other one has the Deep Bootstrap."""
    found = {name for name, raw in RAW.items() if not studies_table.is_of_deep_bootstrap(raw)}
    assert found >= {"demo", "modular-addition", "power-division", "dose-of-reuse", "precision", "width-double-descent"}
    assert not found & {"deep-bootstrap", "gaussian-toy", "cifar5m-baseline"}
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    assert [name for name in RAW if name not in found and f"`{name}`" not in readme] == []


def test_a_study_that_needs_data_has_no_number_of_runs():
    """CIFAR-5m is not here."""
    assert sum(map(len, study_details.cells_here("demo"))) == 16
    assert study_details.cells_here("cifar5m-baseline") == []
    printed = list(study_details.details("cifar5m-baseline"))
    assert any(line.startswith("as it is         runs unknown without its data, ") for line in printed)
