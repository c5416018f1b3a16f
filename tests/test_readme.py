"""What README and docs/study.md tell a newcomer to do is true."""

import re
import tomllib
from pathlib import Path

import pandas as pd
import torch

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.schema import Change, Start, Stop
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.train import train
from deepboot.reports.claims.errors import PlannedRuns
from deepboot.reports.replication.errors import published_errors
from deepboot.reports.replication.ledger import as_claim
from deepboot.runners import builtins
from deepboot.runners.run.rows import specification_row
from tests.bootstrap.conftest import parity

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [README, (ROOT / "docs" / "study.md").read_text()]
BLOCKS = [block for page in PAGES for block in re.findall(r"^```\w+\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)]


def test_the_test_command_is_the_one_that_ci_runs():
    """.ci/run ends with the README's second command."""
    assert "uv run pytest" in [block.strip() for block in BLOCKS]
    assert (ROOT / ".ci" / "run").read_text().strip().endswith("uv run pytest")


def test_the_study_of_the_readme_is_valid():
    """Its runs are those it promises: two pools, two decays, eight seeds, and one ideal world for both pools."""
    builtins.load()
    (text,) = [block for block in BLOCKS if "[sweep]" in block and "question =" in block]
    runs = runs_of(tomllib.loads(text))
    assert sum(run.rule == "real" for run in runs) == 32
    assert sum(run.rule == "ideal" for run in runs) == 16


def test_the_task_of_the_readme_works_in_twenty_lines(tmp_path):
    """Pasted into a plugin, it is found by name and trained in both worlds."""
    builtins.load()
    (text,) = [block for block in BLOCKS if 'register("task", "majority")' in block]
    assert len(text.splitlines()) <= 20
    plugin = tmp_path / "majority.py"
    plugin.write_text(text)
    registry.load_plugin(plugin)
    task = registry.find("task", "majority").target(num_bits=5)
    x, y = task.sample(torch.zeros(1, 2, dtype=torch.int32), torch.arange(50)[None])
    assert torch.equal(y, (x.sum(-1) > 2.5).long())
    outcomes = train(runs_of(parity(task={"name": "majority", "num_bits": 5})))
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]


def test_what_the_readme_changes_within_a_run_is_valid():
    """The tables of phases, start and stop are what a study's schema takes."""
    (text,) = [block for block in BLOCKS if "[[phases]]" in block]
    tables = tomllib.loads(text)
    (phase,) = tables["phases"]
    assert Change(**phase).at_step == 20_000
    assert Start(**tables["start"]).layers == ["embedding", "blocks"]
    assert Stop(**tables["stop"]) == Stop()


def test_the_published_number_of_the_readme_is_valid():
    """It is one that a study of grokking can hold, and is measured by the kind that it names."""
    (text,) = [block for block in BLOCKS if "[[published]]" in block]
    published = tomllib.loads(text)["published"]
    runs = pd.DataFrame([specification_row(run) for run in runs_of(parity(published=published))])
    assert published_errors(published, PlannedRuns.of(runs)) == []
    assert as_claim(published[0])["kind"] == "grokking_delay"


def test_the_figures_of_the_readme_are_there():
    """The pictures are in the repository, and are what their names say."""
    paths = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", README)
    assert len(paths) == 4 + 9  # of the text, and of the gallery, which tests/test_findings.py compares with its page
    for path in paths:
        begins = b"\x89PNG" if path.endswith(".png") else b"<?xml"
        assert (ROOT / path).read_bytes().lstrip().startswith(begins)


def test_the_probes_of_the_readme_work(tmp_path):
    """Those of its study are known, and the user's own, pasted into a plugin, is measured in both worlds."""
    builtins.load()
    (tables,) = [tomllib.loads(block) for block in BLOCKS if "[probes]" in block]
    probed = train(runs_of(parity(probes=tables["probes"])))
    assert all({name.partition(".")[0] for name in one.probes[0]["values"]} == set(tables["probes"]) for one in probed)
    (text,) = [block for block in BLOCKS if '@register("probe"' in block]
    assert len(text.strip().splitlines()) <= 5
    imports = ["from torch import Tensor", "from deepboot.bootstrap.registry import register"]
    imports += ["from deepboot.bootstrap.probes.measured import Measured"]
    (tmp_path / "mine.py").write_text("\n".join([*imports, text]))
    registry.load_plugin(tmp_path / "mine.py")
    for outcome in train(runs_of(parity(probes={"largest_weight": {}}))):
        assert outcome.probes[-1]["values"]["largest_weight"] > 0
