import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from deepboot.reports import compare
from deepboot.reports.measures.across_tasks import score_table, task_means, task_profiles
from deepboot.reports.statistics.interquartile import interquartile_means, performance_profiles

FINALS = {"parity": [0.15, 0.2, 0.05, 0.4, -0.1, 0.35], "addition": [0.02, 0.12, 0.2, 0.5, 0.32, -0.2]}


@pytest.fixture
def make_tasks(make_pairs):
    """Builder of one folder per task and setting, whose pairs have these bootstrap errors over an ideal 0.3."""

    def build(finals, broken=(), **settings):
        return compare([
            make_pairs(
                [{"differences": [one] * 4, "status": "diverged" if (task, seed) in broken else "finished"}
                 for seed, one in enumerate(errors)],
                cell=f"{task}-{value}", task=task, **{"optimizer.lr": value},
            )
            for task, errors in finals.items() for value in settings.get("rates", (0.1,))
        ])  # fmt: skip

    return build


def test_scores_of_worlds(make_tasks):
    """One cell per task: groups are worlds; pairs have bootstrap errors, runs of both worlds test errors."""
    scores = score_table(make_tasks(FINALS))
    groups = scores.groupby("measure")["group"].unique().map(list).to_dict()
    assert groups == {"bootstrap error": ["real"], "test error": ["real", "ideal"]}
    real = scores[(scores["measure"] == "bootstrap error") & (scores["task"] == "parity")]
    assert real["score"].tolist() == pytest.approx(FINALS["parity"])
    errors = scores[(scores["measure"] == "test error") & (scores["group"] == "real")]
    assert errors["score"].tolist() == pytest.approx([0.3 + one for task in FINALS for one in FINALS[task]])
    assert (scores["metric"] == "test_soft_error").all()


def test_groups_are_settings_that_vary_within_a_task(make_tasks):
    """A rate that every task is run with makes groups; one that follows from the task does not."""
    scores = score_table(make_tasks(FINALS, rates=(0.1, 0.2)))
    pairs = scores[scores["measure"] == "bootstrap error"]
    assert pairs["group"].unique().tolist() == ["real, lr 0.1", "real, lr 0.2"]
    comparison = make_tasks(FINALS)
    comparison.runs["model.width"] = comparison.runs["task"].map({"parity": 8, "addition": 16})
    assert set(score_table(comparison)["group"]) == {"real", "ideal"}


def test_means_are_scipys_trimmed_means(make_tasks):
    """Over both tasks' runs, with the resampling interval of `interquartile_means`."""
    table = task_means(make_tasks(FINALS))
    assert list(table.columns[:4]) == ["measure", "metric", "left_out", "group"]
    row = table.iloc[0]
    assert row["mean"] == pytest.approx(stats.trim_mean(np.concatenate(list(FINALS.values())), 0.25))
    assert (row["tasks"], row["n"], row["left_out"], row["note"]) == (2, 6, 0, "")
    scores = score_table(make_tasks(FINALS))
    expected = interquartile_means(scores[scores["measure"] == "bootstrap error"]).iloc[0]
    assert (row["low"], row["high"]) == (expected["low"], expected["high"])


def test_profiles_count_runs_above(make_tasks):
    """Shares above each threshold, as `performance_profiles` has them."""
    table = task_profiles(make_tasks(FINALS))
    rows = table[table["measure"] == "bootstrap error"].set_index("threshold")
    assert rows["share"].tolist() == pytest.approx([10 / 12, 10 / 12, 8 / 12, 4 / 12])
    scores = score_table(make_tasks(FINALS))
    expected = performance_profiles(scores[scores["measure"] == "bootstrap error"], rows.index)
    assert rows["exact_low"].tolist() == expected["exact_low"].tolist()


def test_runs_that_diverged_are_the_worst(make_tasks):
    """A real run that diverged has an infinite error; seeds that one task lacks are left out and counted."""
    finals = FINALS | {"addition": FINALS["addition"][:5]}
    comparison = make_tasks(finals, broken={("parity", 0)})
    scores = score_table(comparison)
    assert scores["score"].eq(math.inf).sum() == 2
    table = task_means(comparison).set_index(["measure", "group"])
    row = table.loc[("bootstrap error", "real")]
    assert (row["n"], row["left_out"]) == (5, 1)
    kept = np.concatenate([[math.inf, *FINALS["parity"][1:5]], finals["addition"]])
    assert row["mean"] == pytest.approx(np.sort(kept)[2:8].mean())


def test_pairs_whose_ideal_run_diverged_have_no_score(make_tasks):
    """Their seed is left out of the bootstrap error; the ideal run's own error is infinite."""
    comparison = make_tasks(FINALS)
    comparison.runs.loc[comparison.runs["run_id"] == "ideal-parity-0.1-1", "status"] = "diverged"
    table = task_means(comparison).set_index(["measure", "group"])
    assert table.loc[("bootstrap error", "real"), ["n", "left_out"]].tolist() == [5, 2]
    assert table.loc[("test error", "ideal"), ["n", "left_out"]].tolist() == [6, 0]


def test_metric_is_one_for_all_tasks(make_tasks):
    """Where tasks' losses have other metrics, the share of wrong labels serves all."""
    comparison = make_tasks(FINALS)
    comparison.runs.loc[comparison.runs["task"] == "parity", "metric"] = "test_error"
    assert set(score_table(comparison)["metric"]) == {"test_error"}


def test_no_table_without_tasks(make_tasks):
    """One task, or tasks without a common seed, have nothing to put together; one seed has no interval."""
    assert task_means(make_tasks({"parity": [0.1, 0.2]})).empty
    apart = make_tasks(FINALS)
    apart.runs.loc[apart.runs["task"] == "parity", "seed"] += 10
    assert task_means(apart).empty
    assert task_profiles(apart).empty
    single = task_means(make_tasks({task: errors[:1] for task, errors in FINALS.items()})).iloc[0]
    assert math.isnan(single["low"])
    assert single["note"] == "2 tasks of 1 run: no interval"


def test_results_without_runs_have_no_scores(make_results):
    """As where every pack died before it wrote anything."""
    whole = make_results(seeds=2)
    empty = replace(whole, runs=whole.runs.head(0), evaluations=whole.evaluations.head(0))
    assert score_table(compare(empty)).empty
