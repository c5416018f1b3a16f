"""Published numbers from a study's file to the lines of the commands."""

import json

from deepboot.bootstrap import registry, results

RATE = {"quantity": "rate", "event": "grokking", "at_most": 0.9, "source": "A 2020"}
OWN_KIND = '''
from deepboot.reports.claims.judge import Effect, claim_kind
from deepboot.reports.claims.kind import Quantity
from deepboot.reports.statistics.intervals import Bounds


@claim_kind("my_number", quantity=Quantity({"min": 0.0}))
def my_number(evidence, *, min: float):
    """Always a half."""
    return Effect("own number", Bounds(min, 1.0), 1, "runs", Bounds(0.5, 0.5), Bounds(0.4, 0.6))
'''


def test_a_number_that_no_run_can_be_set_beside_is_refused_before_the_first(study, tmp_path, deepboot):
    """Together with a claim's mistakes, with status 2 and nothing written."""
    claim = {"kind": "rate", "min_rate": 0.5, "where": {"train_size": 7}}
    path = study(claims=[claim], published=[RATE, RATE | {"where": {"train_size": 7}, "min_rate": 1.0}])
    ran = deepboot("run", path, "--out", tmp_path / "out")
    assert ran.returncode == 2
    assert [line.split("`")[1] for line in ran.stderr.splitlines()] == [
        "claims[0].where.train_size", "published[1].min_rate",
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_number_is_printed_after_a_run_and_may_be_added_to_a_folder(study, tmp_path, deepboot):
    """Runs stay as they are, whatever is published."""
    out = tmp_path / "out"
    plain = deepboot("run", study(training__seeds=2), "--out", out, "--workers", 1)
    assert "Beside the published numbers:" not in plain.stdout
    before = results.read(out).runs
    ran = deepboot("run", study(training__seeds=2, published=[RATE]), "--out", out, "--workers", 1)
    line = (
        "agrees          share of runs that grok in the real world: published at most 0.9, "
        "ours 0.00 (0.00 to 0.84), 2 of 2; share: 0 of 2 (A 2020)"
    )
    assert f"\nBeside the published numbers:\n{line}\n" in ran.stdout
    assert f"\nBeside the published numbers:\n{line}\n" in f"\n{deepboot('claims', out).stdout}"
    assert "## Beside the published numbers" in (out / "report.md").read_text()
    (number,) = json.loads(deepboot("claims", out, "--json").stdout)["published"]
    assert (number["quantity"], number["theirs"], number["outcome"], number["source"]) == (
        "rate", [None, 0.9], "agrees", "A 2020",
    )  # fmt: skip
    assert (number["ours"]["estimate"], number["ours"]["n"]) == ([0.0, 0.0], 2)
    after = results.read(out)
    assert after.runs.equals(before)
    assert after.study["published"] == [RATE]


def test_a_users_own_kind_may_measure_a_quantity(study, tmp_path, deepboot):
    """A later command loads the plugin that the folder's study names."""
    (tmp_path / "own.py").write_text(OWN_KIND)
    entry = {"quantity": "my_number", "value": 0.5, "source": "A 2020"}
    path, out = study(plugins=["own.py"], published=[entry]), tmp_path / "out"
    with registry.scratch():
        assert deepboot("run", path, "--out", out, "--workers", 1, "--train-only").returncode == 0
    assert "my_number" not in registry.names("claim")
    with registry.scratch():
        printed = deepboot("claims", out).stdout
    assert "agrees          own number: published 0.5, ours 0.50 (0.40 to 0.60), 1 of 1 (A 2020)" in printed
