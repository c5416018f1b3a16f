import dataclasses

import numpy as np
import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.measures.events import delay_table, event_bounds, ratio_bounds, step_table
from deepboot.reports.time_axis import TIMES


def at_their_own_pace(results):
    """The same runs, the k-th of which needs (k + 1) / 100 seconds a step."""
    pace = (np.arange(len(results.runs)) + 1) / 100
    return dataclasses.replace(
        results, runs=results.runs.assign(seconds=results.runs["last_step"].astype("Float64") * pace)
    )


def test_samples_are_steps_times_the_batch(make_results):
    """A batch of 100: evaluations, events, budgets and first reuse are a hundred times as large."""
    steps = compare(make_results(seeds=3, censored=(1,)))
    samples = steps.over("samples")
    for name in (
        "grokking_low",
        "grokking_high",
        "memorization_high",
        "stopping_high",
        "max_steps",
        "first_reuse_step",
    ):
        expected = steps.runs[name].astype("Float64") * 100
        pd.testing.assert_series_equal(samples.runs[name], expected)
    assert samples.evaluations["step"].tolist() == (steps.evaluations["step"] * 100).tolist()
    assert samples.evaluations["update"].tolist() == steps.evaluations["step"].tolist()
    assert (steps.axis, samples.axis, samples.over("samples") is samples) == ("step", "samples", True)


def test_a_batch_that_changes_is_respected(make_pairs):
    """10 samples a step up to step 10 and 50 from then on; past the last evaluation the run's batch."""
    results = make_pairs([{"grokking": (10, 20), "memorization": (0, 10)}], batch_size=50)
    evaluations = results.evaluations.assign(samples_seen=[0, 100, 600, 1100] * 2)
    run = compare(dataclasses.replace(results, evaluations=evaluations)).over("samples").runs.iloc[0]
    assert (run["memorization_high"], run["grokking_low"], run["grokking_high"]) == (100, 100, 600)
    assert run["first_reuse_step"] == 50  # step 5, between two evaluations
    assert run["max_steps"] == 1100 + (4000 - 30) * 50


@pytest.mark.parametrize("axis", ["samples", "seconds"])
def test_times_are_those_of_every_run_by_itself(make_results, axis):
    """NumPy's interpolation run by run: grids, gaps and paces of their own, and one run without seconds."""
    random = np.random.default_rng(5)
    results = at_their_own_pace(make_results(seeds=4, censored=(1,), diverged=(2,)))
    runs, rows = results.runs.copy(), results.evaluations.copy()
    runs.loc[runs.index[3], "seconds"] = pd.NA
    runs["batch_size"] = random.integers(1, 99, len(runs))
    seen = random.integers(1, 50, len(rows)).astype(float)
    rows["samples_seen"] = pd.Series(seen, index=rows.index).groupby(rows["run_id"]).cumsum().astype("Int64")
    rows.loc[random.random(len(rows)) < 0.2, "samples_seen"] = pd.NA
    rows = rows[random.random(len(rows)) < 0.8]
    steps = compare(dataclasses.replace(results, runs=runs, evaluations=rows))
    found = steps.over(axis)
    for place, run in steps.runs.iterrows():
        own = steps.evaluations[steps.evaluations["run_id"] == run["run_id"]]
        known = own[own["samples_seen"].notna() & (own["step"] > 0)]
        grid, times = np.r_[0.0, known["step"].to_numpy(float)], np.r_[0.0, known["samples_seen"].to_numpy(float)]
        pace = run["batch_size"]
        if axis == "seconds":
            grid, times, pace = np.zeros(1), np.zeros(1), run["seconds"] / run["last_step"]

        def at(step, grid=grid, times=times, pace=pace):
            if pd.isna(step) or pd.isna(pace):
                return None
            return np.interp(step, grid, times) if step <= grid[-1] else times[-1] + (step - grid[-1]) * pace

        for name in TIMES:
            value = found.runs.loc[place, name]
            assert (None if pd.isna(value) else value) == at(run[name])
        expected = [at(step) for step in own["step"]]
        own_times = found.evaluations.loc[found.evaluations["run_id"] == run["run_id"], "step"].tolist()
        assert own_times == [time for time in expected if time is not None]


def test_seconds_are_in_proportion_to_steps(make_results):
    """Every run has its own pace; ratios within a run stay, differences are its seconds."""
    steps = compare(at_their_own_pace(make_results(seeds=3)))
    seconds = steps.over("seconds")
    pace = (np.arange(6) + 1) / 100
    assert seconds.runs["grokking_high"].to_numpy(float) == pytest.approx(
        steps.runs["grokking_high"].to_numpy(float) * pace
    )
    both = [ratio_bounds(one.runs, one.runs).to_numpy() for one in (steps, seconds)]
    assert both[0] == pytest.approx(both[1])


def test_runs_without_seconds_have_no_times(make_results):
    """They are not measured, rather than at 0; a run that failed has still failed."""
    results = make_results(seeds=3, failed=(2,))
    unknown = results.runs.assign(seconds=results.runs["seconds"].where(results.runs["seed"] == 0))
    seconds = compare(dataclasses.replace(results, runs=unknown)).over("seconds")
    outcomes = event_bounds(seconds.runs, "grokking").groupby(seconds.runs["seed"])["outcome"].agg(list)
    assert [[str(one) for one in seeds] for seeds in outcomes] == [["reached"] * 2, ["nan"] * 2, ["nan", "failed"]]
    assert set(seconds.evaluations["run_id"]) == {"real-0.3-750-0", "ideal-0.3-0"}


@pytest.mark.parametrize("axis", ["samples", "seconds"])
def test_pairs_are_joined_at_the_same_updates(make_results, axis):
    """The bootstrap error is that of the steps, whatever the axis, at the real run's time."""
    steps = compare(at_their_own_pace(make_results(seeds=3)))
    other = steps.over(axis)
    for one, two in (
        (steps.bootstrap_error(), other.bootstrap_error()),
        (steps.pairs_at("stopping"), other.pairs_at("stopping")),
        (steps.pairs_at("end"), other.pairs_at("end")),
    ):
        times = [name for name in ("step", "first_reuse_step") if name in one]  # these are in the unit of the axis
        pd.testing.assert_frame_equal(one.drop(columns=times), two.drop(columns=times))
        times = two["step"].astype(float).groupby(two["run_id"]).max()
        real = other.runs.set_index("run_id").loc[times.index]
        assert (times <= real["last_step"].astype(float)).all()
    assert other.pairs()["last_common_step"].tolist() == other.pairs()["last_step"].tolist()
    assert other.bootstrap_error()["after_first_reuse"].any()


def test_tables_of_timing_are_in_the_unit_of_the_axis(make_results):
    """Medians, ranges, budgets and widths are a hundred times as large in samples; ratios and counts are not."""
    steps = compare(make_results(seeds=6, censored=(1,)))
    samples = steps.over("samples")
    timed = ["median_low", "median_high", "low", "high", "first", "last", "budget"]
    one, two = step_table(steps), step_table(samples)
    pd.testing.assert_frame_equal(one[timed] * 100, two[timed])
    pd.testing.assert_frame_equal(one.drop(columns=timed), two.drop(columns=timed))
    one, two = delay_table(steps), delay_table(samples)
    timed = ["difference_low", "difference_high", "width", "width_low", "width_high"]
    pd.testing.assert_frame_equal(one[timed] * 100, two[timed])
    pd.testing.assert_frame_equal(one.drop(columns=timed), two.drop(columns=timed))


def test_curves_in_seconds_share_their_times(make_results):
    """Runs at paces of their own are interpolated at common times, each up to its own end."""
    results = at_their_own_pace(make_results(seeds=2))
    clean = results.evaluations.assign(train_clean_error=results.evaluations["train_error"] / 2)  # under label noise
    steps = compare(dataclasses.replace(results, evaluations=clean))
    curves = steps.over("seconds").curves()
    times = {run_id: rows["step"].to_numpy() for run_id, rows in curves.groupby("run_id")}
    longest = max(times.values(), key=len)
    for run_id, own in times.items():
        assert np.array_equal(own, longest[: len(own)])
        assert own[-1] <= 4000 * (list(steps.runs["run_id"]).index(run_id) + 1) / 100 * 1.0001
    rows = curves[curves["run_id"] == "real-0.3-750-0"]
    truth = steps.evaluations[steps.evaluations["run_id"] == "real-0.3-750-0"]
    expected = np.interp(rows["step"], truth["step"].astype(float) * 0.02, truth["test_error"])
    assert rows["test_error"].to_numpy() == pytest.approx(expected)
    assert rows["train_clean_error"].to_numpy() == pytest.approx(rows["train_error"].to_numpy() / 2)
    assert set(rows["first_reuse_step"].astype(float)) == {7 * 0.02}


def test_a_curve_ends_in_seconds_where_it_diverges(make_results):
    """Nothing is drawn beyond the last finite value."""
    curves = compare(make_results(seeds=1, diverged=(0,))).over("seconds").curves()
    rows = curves[curves["world"] == "real"]
    last = rows.loc[rows["test_error"].notna(), "step"].max()
    assert 0.25 * 1.5 < last < 0.3 * 1.5
    assert rows["step"].max() == pytest.approx(1.5)


def test_axes_that_do_not_exist_and_second_changes_are_refused(make_results):
    """Both messages say what to do."""
    comparison = compare(make_results(seeds=1))
    with pytest.raises(ValueError, match=r"^unknown axis 'epochs'. Known: step, samples, seconds.$"):
        comparison.over("epochs")
    message = r"^this comparison is in seconds already. Call `over\('samples'\)` on the one in steps.$"
    with pytest.raises(ValueError, match=message):
        comparison.over("seconds").over("samples")
