import json
import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.interactive import curves as page_curves
from deepboot.reports.interactive.curves import MOST_STEPS, curves_of, note_on, rounded
from deepboot.reports.interactive.effects import effects_of
from deepboot.reports.interactive.page import interactive, payload_of
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import median_bounds
from deepboot.reports.text import count


def test_every_curve_is_there_once_with_four_digits(make_results):
    """Values are those of the table, rounded; an ideal run belongs to both cells, and its curve is stored once."""
    comparison = compare(make_results(2, (250, 1000), evaluations=20, diverged=(1,)))
    curves = curves_of(comparison)
    assert [len(values) for values in curves.metrics.values()] == [6] * 6
    assert [cell["runs"] for cell in curves.cells] == [[1, 4, 0, 3], [2, 5, 0, 3]]
    assert curves.settings == ["train_size"]
    assert [cell["values"] for cell in curves.cells] == [["250"], ["1,000"]]
    for index, run_id in enumerate(comparison.runs["run_id"]):
        table = comparison.evaluations[comparison.evaluations["run_id"] == run_id]
        assert curves.grids[curves.runs["grid"][index]]["step"] == table["step"].tolist()
        assert curves.metrics["test_error"][index] == [rounded(value) for value in table["test_error"]]
    assert curves.runs["ideal"] == [None, 0, 0, None, 3, 3]
    assert curves.runs["pace"][0] == pytest.approx(1.5 / 4000, rel=1e-3)
    assert note_on(curves) == ""


def test_the_train_side_of_an_ideal_run_is_its_online_error(make_results):
    """It has no pool to be trained on; an online soft error is not measured."""
    comparison = compare(make_results(1, evaluations=20))
    curves = curves_of(comparison)
    ideal = comparison.evaluations[comparison.evaluations["run_id"] == "ideal-0.3-0"]
    assert curves.metrics["train_error"][0] == [rounded(value) for value in ideal["online_error"]]
    assert curves.metrics["train_soft_error"][0] is None
    assert curves.metrics["train_soft_error"][1] is not None


def test_long_curves_keep_measured_points_at_common_steps_and_say_so(make_results):
    """No value is made up, the first and last stay, and both worlds keep the same steps."""
    results = make_results(1, budget=4000, evaluations=1500)
    curves = curves_of(compare(results))
    steps = curves.grids[curves.runs["grid"][1]]["step"]
    measured = results.evaluations[results.evaluations["run_id"] == results.runs["run_id"][1]].set_index("step")
    assert MOST_STEPS / 2 < len(steps) <= MOST_STEPS + 1
    assert (steps[0], steps[-1]) == (0, 4000)
    assert curves.metrics["test_error"][1] == [rounded(measured["test_error"][step]) for step in steps]
    assert curves.runs["grid"][0] == curves.runs["grid"][1]
    assert note_on(curves).startswith(
        f" Curves of up to {len(measured):,} evaluations are drawn at no more than 241 of "
    )


def test_of_a_great_many_runs_some_pairs_are_there_and_the_figure_says_so(make_results, monkeypatch):
    """Evenly spread over the seeds, whole pairs, in both cells that share the ideal runs; few runs stay as they are."""
    comparison = compare(make_results(10, (250, 1000), evaluations=20))
    every = curves_of(comparison)
    monkeypatch.setattr(page_curves, "MOST_RUNS", 4)
    curves = curves_of(comparison)
    seeds = [0, 3, 5, 8]
    for cell, whole in zip(curves.cells, every.cells, strict=True):
        for world in ("real", "ideal"):
            members = [run for run in cell["runs"] if curves.runs["world"][run] == world]
            assert [curves.runs["seed"][run] for run in members] == seeds
            same = [
                run for run in whole["runs"] if every.runs["world"][run] == world and every.runs["seed"][run] in seeds
            ]
            assert [curves.metrics["test_error"][run] for run in members] == [
                every.metrics["test_error"][run] for run in same
            ]
            assert all(curves.runs["ideal"][run] in cell["runs"] for run in members if world == "real")
    assert len(curves.runs["seed"]) == len(curves.metrics["test_loss"]) == 12
    assert max(curves.quantiles) == 8
    assert note_on(curves) == (
        " Of up to 10 runs of a world in one panel some are here, evenly spread over the seeds, with their partners, "
        "and means are of these. The printed figures, the tables and the verdicts use all."
    )
    monkeypatch.setattr(page_curves, "MOST_RUNS", 500)
    monkeypatch.setattr(page_curves, "MOST_IN_ALL", 4)  # shared by four worlds of panels: too few for an interval
    assert sorted(set(curves_of(comparison).runs["seed"])) == [0, 4, 7]
    assert (every.crowded, note_on(every)) == (0, "")


def test_ideal_runs_without_a_pool_are_spread_too(make_results, monkeypatch):
    """Where no run names them as partners, they are taken as the runs of any world are."""
    results = make_results(10, evaluations=20)
    ideal = results.runs["world"] == "ideal"
    comparison = compare(replace(results, runs=results.runs[ideal]))
    monkeypatch.setattr(page_curves, "MOST_RUNS", 5)
    assert curves_of(comparison).runs["seed"] == [0, 2, 4, 6, 8]


def test_effects_are_the_means_of_the_runs_and_lose_none(make_results):
    """A mean has its interval; where a run diverged there is no mean, and the text says why."""
    comparison = compare(make_results(4, (250, 1000), evaluations=40, diverged=(2,)))
    layers = {(layer["quantity"], layer["world"]): layer["cells"] for layer in effects_of(comparison)}
    final = comparison.final("test_error")
    value, low, high, text = layers["final test error", "ideal"][0]
    assert value == rounded(np.mean([final[f"ideal-0.3-{seed}"] for seed in range(4)]))
    assert low <= value <= high
    assert "n = 4" in text
    assert ("final test error", "real") not in layers
    shares = layers["share of runs that grokked", "real"]
    reached = comparison.runs[comparison.runs["train_size"] == 1000]["grokking_high"].notna().sum()
    assert shares[1][0] == rounded(reached / 4)
    assert shares[1][3] == f"{reached} of 4 runs"


def test_a_median_that_was_not_reached_has_its_lower_bound_alone(make_results):
    """Three of four real runs never grok: no step is imputed, and the text has the count."""
    comparison = compare(make_results(4, (250, 1000), evaluations=40, censored=(0, 1, 2)))
    layers = {(layer["quantity"], layer["world"]): layer["cells"] for layer in effects_of(comparison)}
    assert layers["grokking step", "real"][1] == [None, 4000.0, None, "median not reached: 1 of 4 runs grokked"]
    assert layers["grokking step", "ideal"][1][0] is not None


def test_a_median_is_where_the_static_figure_draws_it(make_results):
    """The middle of its bounds on a log axis, with its interval as a bar no longer than the budget."""
    comparison = compare(make_results(6, (250, 1000), evaluations=40, censored=(0,)))
    layers = {(layer["quantity"], layer["world"]): layer["cells"] for layer in effects_of(comparison)}
    value, low, high, text = layers["grokking step", "real"][1]
    rows = event_bounds(comparison.runs[comparison.runs["train_size"] == 1000], "grokking")
    median = median_bounds(rows["low"], rows["high"])
    assert value == rounded(math.sqrt(median.low * median.high))
    assert low == rounded(rows["low"].min())
    assert high == 4000.0
    assert text.startswith(f"median about {count(value)} (95 % interval {count(low)} to > 4,000), 5 of 6 runs grokked")


def test_what_most_claims_are_about_comes_first(make_results):
    """As among the static figures."""
    claims = [{"kind": "final_error", "max": 0.1}]
    comparison = compare(make_results(3, (250, 1000), evaluations=40, claims=claims))
    assert effects_of(comparison)[0]["quantity"] == "final test error"


def test_the_payload_is_json_without_numbers_that_json_lacks(make_results):
    """NaN and infinity are null: a browser would refuse the whole page for one of them."""
    comparison = compare(make_results(2, (250, 1000), evaluations=12, diverged=(0,), failed=(1,)))
    assert json.loads(json.dumps(payload_of(comparison), allow_nan=False))["view"] == "worlds"


def test_the_same_results_make_the_same_bytes(make_results):
    """Neither a clock nor chance enters; without evaluations there is nothing."""
    comparison = compare(make_results(2, evaluations=12))
    assert interactive(comparison) == interactive(comparison)
    nothing = make_results(1, evaluations=12)
    empty = compare(nothing.__class__(runs=nothing.runs, evaluations=nothing.evaluations.head(0)))
    assert interactive(empty) == ""
