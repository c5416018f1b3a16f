"""What ``plan`` and ``run --dry-run`` say, before a run and from a pilot."""

import re
import tomllib

import pytest

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners import study_files
from deepboot.runners.commands import plan

CLAIMS = [
    {"kind": "grokking_delay", "min_ratio": 2.0},
    {"kind": "rate", "event": "grokking", "min_rate": 0.5},
    {"kind": "equivalent", "margin": 0.02, "at": "end"},
]


def test_dry_run_says_cost_and_hopeless_claims_and_writes_nothing(study, tmp_path, deepboot):
    """Cells, runs, steps, a time, and that two seeds cannot settle a median."""
    path = study(training__seeds=2, claims=CLAIMS)
    said = deepboot("run", path, "--dry-run", "--out", tmp_path / "out").stdout
    assert "cells      1, each with 2 seeds" in said
    assert "runs       2 real + 2 ideal = 4" in said
    assert "steps      24 to do" in said
    assert "  1        grokking_delay (min_ratio 2): needs at least 6 seeds, has 2: cannot be supported" in said
    assert f"Next: deepboot run {path}" in said
    assert not (tmp_path / "out").exists()


def test_the_next_command_is_about_the_same_runs(study):
    """It has the scale and the changes that were asked about; the pilot other seeds."""
    path = study(scale={"quick": {"training.seeds": 9}}, claims=CLAIMS)
    changes = ["optimizer.lr=0.2", "training.seeds=8"]
    told = list(plan.dry_run(path, scale="quick", changes=changes))[-1]
    asked = f"deepboot run {path} --scale quick --set optimizer.lr=0.2 training.seeds="
    assert told == f"\nNext: {asked}8   or first a pilot of a few seeds: {asked}3"


def test_dry_run_prints_the_study_as_it_would_run(study, tmp_path, deepboot):
    """With its scale and changes, without defaults and costs; a valid study file of the same runs and claims."""
    path = study(
        scale={"quick": {"training.seeds": 2}}, sweep={"optimizer.lr": [0.1, 0.2]}, model__depth=1,
        claims=CLAIMS, cost={"quick": "1 s"}, training__layers={"hidden.0": {"lr": 0.5}},
    )  # fmt: skip
    words = ("--scale", "quick", "--set", "optimizer.betas=[0.8, 0.9]")
    said = deepboot("run", path, "--dry-run", *words).stdout.partition("question   ")[0]
    assert said.startswith(f"# {path} as it would run, without the settings that are at their defaults\nquestion = ")
    assert "\nbetas = [0.8, 0.9]\n" in said
    assert '\n[sweep]\n"optimizer.lr" = [0.1, 0.2]\n' in said
    assert not {"depth", "scale", "cost", "quick"} & set(said.replace(".", " ").split())
    (tmp_path / "again.toml").write_text(said)
    raw = study_files.load(path, scale="quick", changes=["optimizer.betas=[0.8, 0.9]"])
    again = study_files.load(tmp_path / "again.toml")
    assert [run.run_id for run in runs_of(again)] == [run.run_id for run in runs_of(raw)]
    assert study_files.resolved(again) == study_files.resolved(raw)


@pytest.mark.parametrize("name", ["demo", "dose-of-reuse", "pair-dropout"])
def test_a_shipped_study_is_the_same_without_its_defaults(name):
    """Written and read again."""
    raw = study_files.load(name)
    again = study_files.resolved(tomllib.loads(study_files.concise(raw)))
    assert again == study_files.resolved(raw)


def test_dry_run_says_the_price_of_what_would_run(study, deepboot):
    """The measured one at the scale that was chosen; of changed runs and of shards their operations."""
    path = study(
        cost={"default": "7 s on 1 core", "small": "3 s on 1 core"}, scale={"small": {"training.seeds": 2}},
        sweep={"optimizer.lr": [0.1, 0.2, 0.3, 0.4]},
    )  # fmt: skip
    of_a_run = 6 * (8 * 16 + 16 + 16 * 2 + 2) * 8 * 6  # six for every weight, sample and step

    def price(*words):
        (line,) = [line for line in deepboot(*words).stdout.splitlines() if line.startswith("price")]
        return line.removeprefix("price      ")

    def unmeasured(runs):
        work = f"{runs * of_a_run:.1e} floating-point operations, less than 0.01 hours at 1e+13 a second"
        return f"time not measured; about {work}"

    assert price("run", path, "--dry-run") == price("plan", path) == "7 s on 1 core, as measured"
    assert price("run", path, "--dry-run", "--scale", "small") == "3 s on 1 core, as measured"
    assert price("run", path, "--dry-run", "--set", "training.seeds=3") == unmeasured(24)
    parts = [price("run", path, "--dry-run", "--shard", f"{k}/2") for k in (1, 2)]
    assert sorted(parts) in [sorted([unmeasured(2 * n), unmeasured(8 - 2 * n)]) for n in (1, 2)]


def test_dry_run_of_a_shard_costs_its_own_cells(study, deepboot):
    """Together the shards cost the study: the same cells, each once."""
    path = study(sweep={"optimizer.lr": [0.1, 0.2, 0.3, 0.4]})
    said = [deepboot("run", path, "--dry-run", "--shard", f"{k}/2").stdout for k in (1, 2)]
    cells = [int(re.search(r"^cells +(\d+),", one, re.MULTILINE)[1]) for one in said]
    assert sum(cells) == 4
    assert all(cells)


def test_plan_says_what_the_seeds_of_a_study_can_settle(study, deepboot):
    """One line for each claim, with the spread or the counts that it takes."""
    said = deepboot("plan", study(training__seeds=8, claims=CLAIMS)).stdout
    assert "claims     what 8 seeds can settle" in said
    for line in (
        "  1        grokking_delay (min_ratio 2): with 8 seeds settled if all 8 lie on one side of 2 (80 % power where",
        "  2        rate (event grokking, min_rate 0.5): with 8 seeds supported by 8 of 8 (80 % power at a true share",
        "  3        equivalent (margin 0.02, at end): with 8 seeds settled if the spread of the pairs is below 0.0174",
    ):
        assert line in said


def test_plan_of_a_folder_goes_by_its_runs(study, tmp_path, deepboot):
    """What is done, the seeds that each claim needs, how far to trust it, and the command that runs them."""
    out = tmp_path / "out"
    path = study(training__seeds=3, claims=CLAIMS)
    assert deepboot("run", path, "--out", out, "--workers", 1, "--train-only").returncode == 0
    ran = deepboot("plan", out)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout
    assert "runs       3 real + 3 ideal = 6, 6 of them done" in said
    assert f"claims     by the 3 seeds in {out}" in said
    assert "  2        rate (event grokking, min_rate 0.5)\n" in said
    assert (
        "inconclusive with 3 seeds; 6 would settle it as refuted (in 24 of 24 resamples of the pilot's seeds)" in said
    )
    assert "trust      3 seeds know little: the spread may be 2.1 times theirs" in said
    assert f"Next: deepboot run {out} --set training.seeds=" in said
    assert deepboot("run", out, "--dry-run", "--out", out).stdout.endswith(f"\n\n{said}")


def test_plan_of_a_settled_folder_leads_to_its_claims(study, tmp_path, deepboot):
    """No seeds are asked for, and a claim that was added later is planned too."""
    out = tmp_path / "out"
    path = study(training__seeds=8, training__ideal=False, claims=[])
    deepboot("run", path, "--out", out, "--workers", 1, "--train-only")
    assert "claims     none: add [[claims]] to the study" in deepboot("plan", out).stdout
    study(training__seeds=8, training__ideal=False, claims=[CLAIMS[1] | {"min_rate": 0.9}])
    said = deepboot("plan", path, "--out", out).stdout
    assert "refuted with 8 seeds: no more are needed" in said
    assert said.strip().endswith(f"Next: deepboot claims {out}")


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ({"kind": "rate"}, "claim `rate` needs a bound on the share, got none."),
        ({"kind": "rat", "min_rate": 0.5}, "Did you mean 'rate'?"),
    ],
)
def test_mistakes_in_claims_end_with_status_2(study, deepboot, claim, sentence):
    """One sentence, no traceback."""
    ran = deepboot("plan", study(claims=[claim]))
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_study_whose_trial_fails_is_planned_all_the_same(study, tmp_path):
    """The reason stands where the time would; all else is said."""
    (tmp_path / "plugin.py").write_text(
        "from deepboot.bootstrap.registry import register\n@register('loss', 'planned_failure')\n"
        "def broken(logits_EBV, label_EB):\n    'Fails.'\n    raise RuntimeError('no')\n"
    )
    said = "\n".join(plan.describe(study(plugins=["plugin.py"], loss={"name": "planned_failure"})))
    assert "failed (RuntimeError: no)" in said
    assert "runs       1 real + 1 ideal = 2" in said


def test_a_study_of_the_ideal_world_alone_can_be_planned(study):
    """It has no real run; its cells are the ideal ones."""
    path = study(training__world={"rule": "ideal"}, training__ideal=False, training__seeds=2)
    lines = list(plan.describe(str(path)))
    assert "cells      1, each with 2 seeds" in lines
    assert "runs       0 real + 2 ideal = 2" in lines


def test_a_pilot_is_proposed_only_to_a_study_of_more_seeds(study):
    """Two seeds are no more than a pilot themselves."""
    claim = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}
    assert "a pilot" not in "\n".join(plan.describe(study(training__seeds=2, claims=[claim])))
    assert "a pilot of a few seeds: deepboot run " in "\n".join(plan.describe(study(training__seeds=4, claims=[claim])))


def test_costs_under_a_stop_rule_are_bounds(study):
    """The rule may end every run earlier, so steps, evaluations and time are at most what is said."""
    stop = {"metric": "test_error", "at_most": 0.01, "streak": 3}
    lines = {line[:10].strip(): line[11:] for line in plan.describe(study(stop=stop))}
    assert lines["steps"].startswith("at most 12 to do, at most ")
    assert lines["time"].startswith("at most ")
    plain = {line[:10].strip(): line[11:] for line in plan.describe(study())}
    assert plain["steps"].startswith("12 to do, ")
    assert plain["time"].startswith("about ")
