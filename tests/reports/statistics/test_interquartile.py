import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deepboot.reports.statistics.interquartile import interquartile_means, performance_profiles
from deepboot.reports.statistics.intervals import clopper_pearson


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def table(scores_TN, group="real"):
    """One row per run of scores given by task and run."""
    task, run = np.indices(np.shape(scores_TN))
    return pd.DataFrame({"group": group, "task": task.ravel(), "seed": run.ravel(), "score": np.ravel(scores_TN)})


@pytest.fixture
def scores():
    """Two groups of four tasks of six runs."""
    random = np.random.default_rng(0)
    return pd.concat([table(random.random((4, 6))), table(random.random((4, 6)) + 0.3, "ideal")])


def test_interquartile_mean_is_scipys_trimmed_mean(scores):
    """The estimate is SciPy's mean without a quarter at each end, in the groups' order of appearance."""
    means = interquartile_means(scores)
    assert list(means.columns) == ["group", "tasks", "n", "mean", "low", "high", "note"]
    assert means["group"].tolist() == ["real", "ideal"]
    expected = [stats.trim_mean(scores.loc[scores["group"] == group, "score"], 0.25) for group in means["group"]]
    assert means["mean"].tolist() == pytest.approx(expected)
    assert (means["tasks"] == 4).all()
    assert (means["n"] == 6).all()
    assert (means["low"] < means["mean"]).all()
    assert (means["mean"] < means["high"]).all()


def test_outliers_do_not_move_it():
    """A run that never got there may be infinite, up to a quarter of them; beyond that the mean is open."""
    values = np.random.default_rng(1).random((4, 6))
    some, many = values.copy(), values.copy()
    some[0, :4], many[:2] = math.inf, math.inf
    largest = np.sort(values.ravel())
    assert interquartile_means(table(some)).loc[0, "mean"] <= largest[-1]
    assert interquartile_means(table(many)).loc[0, ["mean", "high"]].tolist() == [math.inf, math.inf]


def test_one_seed_gives_one_interval(scores):
    """The same seed resamples alike, another does not, and the global generator has no say."""
    np.random.seed(1)
    first = interquartile_means(scores)
    np.random.seed(2)
    pd.testing.assert_frame_equal(first, interquartile_means(scores))
    assert interquartile_means(scores, seed=1)["low"].tolist() != first["low"].tolist()


def test_resampling_stays_within_tasks():
    """Tasks that differ, with runs that do not, have an interval of no width."""
    means = interquartile_means(table(np.repeat(np.arange(8.0)[:, None], 5, axis=1)))
    assert means.loc[0, ["mean", "low", "high"]].tolist() == [3.5, 3.5, 3.5]


def test_resampled_spread_is_that_of_a_mean():
    """Without outliers the interval of many runs is about Student's of their mean."""
    values = np.random.default_rng(2).uniform(0, 1, (1, 400))
    middle = np.sort(values[0])[100:300]
    winsorised = np.clip(values[0], middle[0], middle[-1])
    half = stats.t.ppf(0.975, 399) * winsorised.std(ddof=1) / (0.5 * math.sqrt(400))
    low, high = interquartile_means(table(values), resamples=8_000).loc[0, ["low", "high"]]
    assert high - low == pytest.approx(2 * half, rel=0.08)


@pytest.mark.parametrize(("tasks", "runs", "told"), [(1, 5, False), (10, 2, False), (3, 3, False), (4, 3, True)])
def test_few_runs_have_no_interval(tasks, runs, told):
    """Below 3 runs of a task, or 8 degrees of freedom, there is an estimate and a note but no resampled interval."""
    values = table(np.random.default_rng(3).random((tasks, runs)))
    means, profile = interquartile_means(values), performance_profiles(values, [0.5])
    assert means.loc[0, ["low", "high"]].notna().tolist() == [told, told]
    assert profile.loc[0, ["low", "high"]].notna().tolist() == [told, told]
    assert profile.loc[0, ["exact_low", "exact_high"]].notna().all()
    noun = "1 task" if tasks == 1 else f"{tasks} tasks"
    assert means.loc[0, "note"] == ("" if told else f"{noun} of {runs} runs: no interval")


def test_profile_counts_runs_above(scores):
    """The share counts runs strictly above a threshold, and the exact ends are Clopper and Pearson's."""
    cuts = [-1.0, float(scores["score"].iloc[0]), 2.0]
    profile = performance_profiles(scores, cuts, 0.9)
    columns = ["group", "threshold", "tasks", "n", "share", "low", "high", "exact_low", "exact_high"]
    assert list(profile.columns) == columns
    real = scores.loc[scores["group"] == "real", "score"]
    above = int((real > cuts[1]).sum())
    assert profile["share"].tolist()[:3] == [1, above / 24, 0]
    assert profile.loc[1, ["exact_low", "exact_high"]].tolist() == pytest.approx(list(clopper_pearson(above, 24, 0.9)))
    assert profile.loc[0, ["low", "high"]].tolist() == [1, 1]
    assert profile.loc[1, "low"] < above / 24 < profile.loc[1, "high"]
    assert profile["group"].tolist() == ["real"] * 3 + ["ideal"] * 3


def test_bad_input_is_explained(scores):
    """Each mistake has its sentence."""
    with raises("`scores` must have rows of group, task and score, got task, seed, score. Give one row per run."):
        interquartile_means(scores.drop(columns="group"))
    with raises("`scores` must have rows of group, task and score, got no row. Give one row per run."):
        performance_profiles(scores.head(0), [0.5])
    with raises("`scores` must have a score in every row, got NaN. Give a run that failed the worst score."):
        interquartile_means(scores.assign(score=math.nan))
    with raises(
        "`scores` must have equally many runs of every task, got 5 to 6 in group 'real'. Keep the seeds that all "
        "tasks have."
    ):
        interquartile_means(scores.iloc[1:])
    with raises("`resamples` must leave 10 beyond each end, got 100 at 0.95. At 0.95 give 400 or more."):
        interquartile_means(scores, resamples=100)
    with raises("`thresholds` must be a row of numbers, got []. Give the scores to look at."):
        performance_profiles(scores, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "runs"), [(5, 3), (10, 3), (3, 5), (5, 5), (10, 5), (1, 10), (5, 10), (1, 20), (5, 20)]
)
def test_intervals_cover(tasks, runs, record_property):
    """Of 300 tables of normal scores at least 88 % of the means and 93 % of the exact profile ends cover."""
    random, covered = np.random.default_rng(tasks * runs), np.zeros(2)
    middles, spreads = random.normal(size=(tasks, 1)), np.exp(0.5 * random.normal(size=(tasks, 1))) / 2
    large = middles + spreads * random.normal(size=(tasks, 100_000))
    cut = np.quantile(large, 0.3)
    true = stats.trim_mean(large, 0.25, axis=None)
    for _ in range(300):
        scores = table(middles + spreads * random.normal(size=(tasks, runs)))
        low, high = interquartile_means(scores, resamples=1_000).loc[0, ["low", "high"]]
        exact_low, exact_high = performance_profiles(scores, [cut], resamples=400).loc[0, ["exact_low", "exact_high"]]
        covered += [low <= true <= high, exact_low <= 0.7 <= exact_high]
    record_property("coverage", (covered / 300).tolist())
    assert (covered / 300 >= [0.88, 0.93]).all()
