import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deepboot.reports import compare


def test_import_loads_neither_torch_nor_matplotlib():
    """A notebook's import of the package stays cheap."""
    code = "import sys, deepboot.reports; print({'torch', 'matplotlib', 'jinja2', 'scipy.stats'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_real_run_is_joined_to_its_partner(make_results):
    """Two train sizes share an ideal run per seed."""
    pairs = compare(make_results(seeds=3, train_sizes=(750, 1250))).pairs()
    assert len(pairs) == 6
    assert pairs["ideal_run_id"].nunique() == 3
    assert set(pairs["ideal_status"]) == {"finished"}
    assert set(pairs["last_common_step"]) == {4000}


def test_other_rules_are_paired_too(make_results):
    """A run of another rule that names an ideal partner is half of a pair."""
    comparison = compare(make_results(seeds=2, world="fresh"))
    assert set(comparison.pairs()["world"]) == {"fresh"}
    assert set(comparison.bootstrap_error()["world"]) == {"fresh"}


def test_a_missing_partner_is_not_hidden(make_results):
    """Its pair stays, with nulls where the ideal run should be."""
    results = make_results(seeds=2)
    runs = results.runs[results.runs["run_id"] != "ideal-0.3-1"]
    comparison = compare(dataclasses.replace(results, runs=runs))
    assert comparison.pairs()["ideal_status"].isna().tolist() == [False, True]
    assert comparison.at_stopping()["n"].tolist() == [1]


def test_bootstrap_error_is_signed_and_zero_before_the_first_reuse(make_results):
    """Real minus ideal at the same step, never clipped, exactly zero while no sample was used twice."""
    table = compare(make_results(seeds=3)).bootstrap_error()
    assert (table["bootstrap_error"] == table["real"] - table["ideal"]).all()
    assert (table["bootstrap_error"] < 0).any()
    assert (table.loc[~table["after_first_reuse"], "bootstrap_error"] == 0).all()
    assert table.loc[~table["after_first_reuse"], "step"].max() == 7  # 750 samples, batches of 100
    assert table.loc[table["after_first_reuse"], "step"].min() == 8


def test_bootstrap_error_of_a_named_metric(make_results):
    """Any measured column can take the place of the soft error."""
    table = compare(make_results(seeds=2)).bootstrap_error("test_error")
    assert set(table["metric"]) == {"test_error"}


def test_unknown_metric_is_refused(make_results):
    """The message lists the columns."""
    known = (
        "train_loss, train_error, train_soft_error, test_loss, test_error, test_soft_error, online_loss, online_error"
    )
    with pytest.raises(ValueError, match=f"^unknown metric 'accuracy'. Known: {known}, weight_norm.$"):
        compare(make_results(seeds=1)).bootstrap_error("accuracy")


@pytest.mark.parametrize(("loss", "metric"), [("cross_entropy", "test_soft_error"), ("mse", "test_error")])
def test_error_takes_the_place_of_soft_error_under_plain_losses(make_results, loss, metric):
    """A perfect one-hot MSE fit has a soft error of 0.77, so MSE studies are judged by their error."""
    comparison = compare(make_results(seeds=2, loss=loss))
    assert set(comparison.bootstrap_error()["metric"]) == {metric}
    assert set(comparison.at_end()["metric"]) == {metric}


def test_at_stopping_by_hand(make_pairs):
    """The mean at each pair's own stopping step, with SciPy's paired interval."""
    differences = [0.1, 0.2, 0.4]
    pairs = [{"stopping": step, "differences": [0, 0, 0, 0]} for step in (10, 20, 20)]
    for pair, value in zip(pairs, differences, strict=True):
        pair["differences"] = [0, value if pair["stopping"] == 10 else 9, value if pair["stopping"] == 20 else 9, 9]
    row = compare(make_pairs([*pairs, {}])).at_stopping().iloc[0]
    expected = stats.ttest_1samp(differences, 0).confidence_interval()
    assert (row["pairs"], row["n"], row["without"], row["step_low"], row["step_high"]) == (4, 3, 1, 10, 20)
    assert row["bootstrap_error"] == pytest.approx(np.mean(differences))
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["generalization_gap"] == pytest.approx(0.3 + np.mean(differences) - 0.1)
    assert row["note"] == "1 of 4 without a stopping step"


def test_two_pairs_have_no_interval(make_pairs):
    """A t interval needs three differences, and the note says so."""
    row = compare(make_pairs([{"stopping": 10}, {"stopping": 10}])).at_stopping().iloc[0]
    assert pd.isna(row["low"])
    assert row["note"] == "2 pairs: no interval"


def test_at_end_leaves_out_what_did_not_finish_and_says_so(make_pairs):
    """A diverged pair has no end; it is counted."""
    pairs = [{"differences": [0, 0, 0, value]} for value in (0.1, 0.2, 0.3)] + [{"status": "diverged"}]
    row = compare(make_pairs(pairs)).at_end().iloc[0]
    assert (row["n"], row["pairs"], row["step_low"]) == (3, 4, 30)
    assert row["bootstrap_error"] == pytest.approx(0.2)
    assert row["note"] == "1 of 4 did not finish in both worlds"


def test_cells_are_named_by_what_differs(make_results):
    """Settings shared by all cells stay out of the label, and ideal cells say that they are."""
    cells = compare(make_results(seeds=1, train_sizes=(750, 1250), decays=(0.03, 0.3))).cells()
    assert cells["cell"].tolist() == [
        "ideal, weight_decay 0.03",
        "train_size 750, weight_decay 0.03",
        "train_size 1,250, weight_decay 0.03",
        "ideal, weight_decay 0.3",
        "train_size 750, weight_decay 0.3",
        "train_size 1,250, weight_decay 0.3",
    ]
    assert compare(make_results(seeds=1)).cells()["cell"].tolist() == ["ideal", "real"]


def test_cells_are_named_by_what_is_swept(make_pairs):
    """Not by a setting that follows from it, though that one comes first in a study: a rate tuned for each of them."""
    cells = [
        make_pairs([{}], cell=str(lamb), **{"optimizer.lr": lr, "training.transforms.0.lamb": lamb})
        for lr, lamb in ((0.03, 0.0), (0.1, 2.0))
    ]
    swept = [dataclasses.replace(one, study={**one.study, "sweep": {"training.transforms": []}}) for one in cells]
    assert compare(cells).cells()["cell"].tolist() == ["lr 0.03", "ideal, lr 0.03", "lr 0.1", "ideal, lr 0.1"]
    assert compare(swept).cells()["cell"].tolist() == ["lamb 0", "ideal, lamb 0", "lamb 2", "ideal, lamb 2"]


def test_a_choice_is_named_by_what_is_chosen(make_pairs):
    """A loss is "loss mse", not "name mse"."""
    cells = [make_pairs([{}], cell=name, **{"loss.name": name}) for name in ("mse", "hinge")]
    assert compare(cells).cells()["cell"].tolist() == ["loss mse", "ideal, loss mse", "loss hinge", "ideal, loss hinge"]


def test_several_results_are_one_comparison(make_pairs):
    """Cells of several folders stand side by side, and a run that occurs twice counts once."""
    first = make_pairs([{}], cell="a", **{"optimizer.lr": 0.1})
    second = make_pairs([{}], cell="b", **{"optimizer.lr": 0.2})
    comparison = compare([first, second, first])
    assert len(comparison.runs) == 4
    assert len(comparison.evaluations) == 16
    assert comparison.cells()["cell"].tolist() == ["lr 0.1", "ideal, lr 0.1", "lr 0.2", "ideal, lr 0.2"]


def test_the_run_that_went_furthest_counts(make_pairs):
    """After an extension the longer version of a run replaces the shorter one, wherever it comes."""
    short = make_pairs([{}])
    long = dataclasses.replace(short, runs=short.runs.assign(last_step=9000))
    for order in ([short, long], [long, short]):
        assert set(compare(order).runs["last_step"]) == {9000}


def test_nothing_to_compare():
    """An empty list has a message of its own."""
    message = "^nothing to compare: expected at least one Results, got none. Read one with results.read.$"
    with pytest.raises(ValueError, match=message):
        compare([])


def test_ideal_partners_are_drawn_in_every_cell_they_serve(make_results):
    """Curves hold each ideal run once per train size."""
    curves = compare(make_results(seeds=2, train_sizes=(750, 1250), evaluations=9)).curves()
    assert curves.groupby(["cell_id", "world"])["run_id"].nunique().tolist() == [2, 2, 2, 2]


def test_the_largest_gap_is_where_the_mean_over_pairs_is_largest_in_size(make_results):
    """By hand from the curves, after the first reuse, over steps that all pairs have."""
    comparison = compare(make_results(seeds=4))
    errors = comparison.bootstrap_error()
    means = errors[errors["after_first_reuse"]].groupby("step")["bootstrap_error"].mean()
    (row,) = comparison.largest().to_dict("records")
    assert row["step"] == means.abs().idxmax()
    assert row["bootstrap_error"] == pytest.approx(means[row["step"]])


def test_exact_intervals_begin_at_six_pairs(make_results):
    """By sign flips: none of five pairs; with six the range from the smallest to the largest."""
    assert compare(make_results(seeds=5)).at_stopping()["exact_low"].isna().all()
    comparison = compare(make_results(seeds=6))
    values = comparison.pairs_at("stopping")["bootstrap_error"]
    (row,) = comparison.at_stopping().to_dict("records")
    assert (row["exact_low"], row["exact_high"]) == pytest.approx((values.min(), values.max()))


def test_a_summary_is_its_readers_own(make_results):
    """It is made once and handed out as a copy: who writes into it changes nobody else's."""
    comparison = compare(make_results(seeds=3))
    first = comparison.at_stopping()
    first["pairs"] = 0
    assert comparison.at_stopping()["pairs"].tolist() == [3]
    assert comparison.at_stopping(confidence=0.5)["high"].iloc[0] < comparison.at_stopping()["high"].iloc[0]
    assert comparison.at_end()["step_low"].iloc[0] > comparison.at_stopping()["step_low"].iloc[0]
