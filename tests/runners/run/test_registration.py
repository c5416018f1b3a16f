"""What a study registers before its first run, what is refused there, and what its folder says later."""

import json
import re

import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.reports.claims.judge import judge
from deepboot.runners import run_study
from deepboot.runners.run import work

CLAIM = {"kind": "rate", "event": "grokking", "min_rate": 0.5}
LOOSE = {"schedule": 1, "streak": 1, "threshold": 0.05}


def changed(folder):
    """What each claim's verdict says has changed."""
    return [one.changed for one in judge(results.read(folder))]


def test_everything_that_a_verdict_depends_on_is_registered(study, tmp_path):
    """Claims, seeds, pools, sweep and the settings of each cell, under one hash."""
    read = run_study(study(claims=[CLAIM], training__seeds=2), tmp_path / "out", workers=1)
    held = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert (held["registered"], held["seeds"]) == ([CLAIM], [0, 1])
    assert held["plan"] == {"training.train_size": 24, "training.seeds": 2}
    settings = {
        "max_steps": 6, "metric": "soft_error", "evaluation.threshold": 0.99, "evaluation.streak": 3,
        "evaluation.stopping_metric": "train_soft_error", "evaluation.stopping_threshold": 0.01,
    }  # fmt: skip
    assert held["cells"] == {cell: settings for cell in read.runs["cell_id"].unique()}  # noqa: C420
    assert changed(tmp_path / "out") == [()]


def test_changes_after_the_first_run_are_named_on_the_verdict(study, tmp_path):
    """Threshold, streak, stopping metric, budget, seeds and pools, each by name."""
    out = tmp_path / "out"
    run_study(study(claims=[CLAIM], evaluation={"schedule": 1}), out, workers=1)
    later = {**LOOSE, "stopping_metric": "train_loss", "stopping_threshold": 0.5}
    path = study(claims=[CLAIM], evaluation=later, training__max_steps=7, training__seeds=2,
                 training__train_size=[16, 24])  # fmt: skip
    run_study(path, out, workers=1)
    (first, *_), (clauses, *_) = judge(results.read(out)), changed(out)
    assert clauses == (
        "max_steps was 6 when the claim was registered, now 7",
        "evaluation.threshold was 0.99 when the claim was registered, now 0.05",
        "evaluation.streak was 3 when the claim was registered, now 1",
        "evaluation.stopping_metric was train_soft_error when the claim was registered, now train_loss",
        "evaluation.stopping_threshold was 0.01 when the claim was registered, now 0.5",
        "1 seed was added (1)",
        "1 cell was added (train_size 16)",
    )
    assert first.post_hoc


def test_a_claim_that_was_taken_out_is_shown_as_withdrawn(study, tmp_path, deepboot):
    """In the terminal, for JSON and on the page; it is judged all the same."""
    out = tmp_path / "out"
    run_study(study(claims=[CLAIM]), out, workers=1)
    assert deepboot("run", study(claims=[]), "--out", out, "--workers", 1).returncode == 0
    (one,) = json.loads(deepboot("claims", out, "--json").stdout)["claims"]
    assert (one["withdrawn"], one["claim"], one["n"]) == (True, CLAIM, 1)
    assert "(withdrawn)." in deepboot("claims", out).stdout
    assert "(withdrawn)" in (out / "report.md").read_text()
    assert "withdrawn</span>" in (out / "report.html").read_text()


def test_claims_are_not_registered_beside_runs_that_are_there(study, tmp_path):
    """Who removes the file finds all claims post hoc."""
    out = tmp_path / "out"
    run_study(study(claims=[CLAIM]), out, workers=1)
    (out / "claims.json").unlink()
    run_study(study(claims=[CLAIM]), out, workers=1)
    assert changed(out) == [
        ("claims.json is missing or cannot be read", "the claim was not registered before the first run")
    ]


def test_a_changed_kind_of_claim_is_named(study, tmp_path, monkeypatch):
    """A user's own kind is code, which may change as well."""
    text = (
        "from deepboot.reports.claims.judge import claim_kind, Effect\n"
        "from deepboot.reports.statistics.intervals import Bounds\n"
        "@claim_kind('own_late')\ndef own_late(evidence):\n    'Holds.'\n"
        "    return Effect('one', Bounds(0, 2), 1, 'runs', Bounds(1, 1), Bounds(1, 1))\n"
    )
    (tmp_path / "plugin.py").write_text(text)
    run_study(study(plugins=["plugin.py"], claims=[{"kind": "own_late"}]), tmp_path / "out", workers=1)
    assert changed(tmp_path / "out") == [()]
    (tmp_path / "plugin.py").write_text(text.replace("(0, 2)", "(0, 3)"))
    run_study(study(plugins=["plugin.py"], claims=[{"kind": "own_late"}]), tmp_path / "out", workers=1)
    assert changed(tmp_path / "out") == [("the code of the kind own_late was another when the claim was registered",)]


@pytest.mark.parametrize("words", [("run",), ("run", "--dry-run"), ("plan",)])
def test_mistakes_in_claims_are_refused_before_anything_is_trained(words, study, tmp_path, deepboot):
    """By every command, all at once, with the claims' numbers."""
    claims = [CLAIM, CLAIM | {"where": {"train_size": 25}}, {"kind": "rate"}]
    command, *options = words
    ran = deepboot(command, study(claims=claims), *options, "--out", tmp_path / "out")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [
        "`claims[1].where.train_size`: no planned run has 25. Known: 24.",
        "`claims[2]`: claim `rate` needs a bound on the share, got none. Give `min_rate`, `max_rate` or both.",
    ]
    assert not (tmp_path / "out").exists()


def test_claims_about_another_shard_or_what_a_folder_holds_are_not_refused(study, tmp_path):
    """The cells of the whole study are known, and so are those that the folder holds beside them."""
    claims = [CLAIM | {"where": {"optimizer.lr": rate}} for rate in (0.1, 0.2)]
    path = study(claims=claims, sweep={"optimizer.lr": [0.1, 0.2]})
    shards = [work.plan(path, shard=f"{number}/2") for number in (1, 2) if _has_cells(path, number)]
    assert sum(len(work.runs) for work in shards) == 4
    out = tmp_path / "out"
    run_study(path, out, workers=1)
    fewer = study(claims=claims, sweep={"optimizer.lr": [0.1]})
    assert len(run_study(fewer, out, workers=1).study["claims"]) == 2
    with pytest.raises(StudyError) as caught:
        run_study(fewer, tmp_path / "other", workers=1)
    assert caught.value.problems == ["`claims[1].where.optimizer.lr`: no planned run has 0.2. Known: 0.1."]


def _has_cells(path, number):
    try:
        return bool(work.plan(path, shard=f"{number}/2").runs)
    except StudyError:
        return False


def test_a_claim_may_select_by_facts_about_the_data(study):
    """The size of a universe is known beforehand too."""
    task = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
    chosen = [CLAIM | {"where": {"facts.universe_size": size}} for size in (49, 50)]
    assert work.plan(study(task=task, data={}, claims=chosen[:1])).runs
    with pytest.raises(StudyError, match=re.escape("`claims[1].where.facts.universe_size`: no planned run has 50.")):
        work.plan(study(task=task, data={}, claims=chosen))
