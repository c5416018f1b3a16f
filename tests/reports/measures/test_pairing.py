import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from deepboot.reports import compare
from deepboot.reports.measures.pairing import noise_table, pairing_table, sizes_of_test

REAL = np.array([0.31, 0.42, 0.37, 0.50, 0.45])
IDEAL = np.array([0.20, 0.24, 0.25, 0.33, 0.26])


def rows_of(table):
    """Rows by (cell's world, time)."""
    return table.set_index(["world", "when"])


@pytest.fixture
def with_errors(make_pairs):
    """Builder of one cell whose partners have these test errors, at every step; the end is step 30."""

    def build(real, ideal, stopping=20, **settings):
        results = make_pairs([{"stopping": stopping}] * len(real), **settings)
        for world, errors in (("real", real), ("ideal", ideal)):
            for seed, error in enumerate(errors):
                rows = results.evaluations["run_id"] == f"{world}-a-{seed}"
                results.evaluations.loc[rows, ["test_error", "test_soft_error"]] = error
        return results

    return build


def test_pairing_is_scipys_correlation_and_numpys_variances(with_errors):
    """At both times: Pearson's correlation with its interval, and the variance of differences over the sum of both."""
    table = rows_of(pairing_table(compare(with_errors(REAL, IDEAL))))
    assert table.index.tolist() == [("real", "stopping"), ("real", "end")]
    found, expected = table.loc[("real", "end")], stats.pearsonr(REAL, IDEAL)
    assert found["correlation"] == pytest.approx(expected.statistic)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    apart = REAL.var(ddof=1) + IDEAL.var(ddof=1)
    assert found["variance_ratio"] == pytest.approx((REAL - IDEAL).var(ddof=1) / apart)
    assert (found["n"], found["pairs"], found["metric"], found["note"]) == (5, 5, "test_soft_error", "")
    assert found["seeds"] > 5
    assert not found["negligible"]


def test_pairing_of_identical_worlds(with_errors):
    """Partners that are equal have no variance between them: no number of unpaired seeds will do."""
    found = pairing_table(compare(with_errors(REAL, REAL))).iloc[0]
    assert (found["correlation"], found["variance_ratio"], found["seeds"]) == (1, 0, math.inf)
    constant = pairing_table(compare(with_errors([0.3] * 4, [0.3] * 4))).iloc[0]
    assert constant[["correlation", "variance_ratio", "seeds"]].isna().all()
    assert not constant["negligible"]


def test_pairing_leaves_errors_of_nothing_alone(with_errors):
    """Where all errors are below 0.001 their correlation is noise of the last digits."""
    found = pairing_table(compare(with_errors(REAL / 1_000, IDEAL / 1_000))).iloc[1]
    assert found["negligible"]
    assert math.isnan(found["correlation"])


def test_pairing_counts_pairs_without_a_value(with_errors, make_results):
    """One pair has no correlation; pairs that never stop or end are counted; no pairs, no rows."""
    one = pairing_table(compare(with_errors(REAL[:1], IDEAL[:1], stopping=None)))
    assert one["n"].tolist() == [0, 1]
    assert one["note"].tolist() == ["1 of 1 without a stopping step", ""]
    assert one["correlation"].isna().all()
    broken = rows_of(pairing_table(compare(make_results(seeds=4, diverged=range(4)))))
    assert broken.loc[("real", "end"), "note"] == "4 of 4 did not finish in both worlds"
    alone = make_results(seeds=2)
    alone = replace(alone, runs=alone.runs[alone.runs["world"] == "ideal"])
    assert pairing_table(compare(alone)).empty


def test_noise_is_binomial(with_errors):
    """Standard error of one run's error, spread over seeds and the share's chi-squared interval."""
    results = with_errors(REAL, IDEAL)
    results.runs["facts.test_size"] = 200
    table = noise_table(compare(results))
    assert list(zip(table["world"], table["when"], strict=True)) == [
        ("real", "stopping"), ("ideal", "stopping"), ("real", "end"), ("ideal", "end"),
    ]  # fmt: skip
    found = rows_of(table).loc[("real", "end")]
    binomial = np.mean(REAL * (1 - REAL)) / 200
    assert found["standard_error"] == pytest.approx(math.sqrt(binomial))
    assert found["seed_spread"] == pytest.approx(REAL.std(ddof=1))
    spread = 4 * REAL.var(ddof=1) / stats.chi2.ppf([0.975, 0.025], 4)  # interval of the variance over seeds
    assert (found["high"], found["low"]) == pytest.approx(tuple(binomial / spread))
    assert (found["n"], found["test_size"], found["own"], found["whole"]) == (5, 200, True, False)
    assert rows_of(table).loc[("ideal", "stopping"), "error"] == pytest.approx(IDEAL.mean())


def test_squared_errors_are_no_shares(with_errors):
    """Of real labels the error is the squared error, as the loss is, and may be above 1: nothing binomial is said."""
    large = with_errors(real=[2.3, 1.2, 1.4, 1.1], ideal=[1.2, 3.1, 1.3, 1.2])
    assert noise_table(compare(large)).empty
    small = with_errors(REAL, IDEAL)
    assert not noise_table(compare(small)).empty
    squared = small.evaluations.assign(test_loss=small.evaluations["test_error"])
    assert noise_table(compare(replace(small, evaluations=squared))).empty
    for classes, empty in ((1, True), (2, False)):  # where the number of classes is known, nothing is guessed
        known = replace(small, runs=small.runs.assign(**{"facts.classes": classes}), evaluations=squared)
        assert noise_table(compare(known)).empty == empty
    judged = small.runs.assign(**{"facts.classes": 1, "evaluation.correct_below": 1e-3})
    assert not noise_table(compare(replace(small, runs=judged))).empty


def test_noise_without_a_wrong_label_has_a_limit(with_errors):
    """No wrong label among 200 is consistent with up to 1.8 %, as Clopper and Pearson have it."""
    results = with_errors([0.0] * 3, [0.0] * 3)
    results.runs["facts.test_size"] = 200
    table = noise_table(compare(results))
    assert table["limit"].tolist() == pytest.approx([1 - 0.025 ** (1 / 200)] * 4)
    assert table["share"].isna().all()


def test_noise_knows_whose_test_set_it_is(with_errors):
    """A test set of all cells has no noise, and one stream for all seeds is said."""
    results = with_errors(REAL, IDEAL)
    results.runs["facts.test_size"] = results.runs["facts.universe_size"] = 97
    results.runs["training.streams.test"] = 0
    table = noise_table(compare(results))
    assert table["whole"].all()
    assert not table["own"].any()


def test_noise_of_few_runs(with_errors, make_results):
    """One seed has no spread, an unknown size no noise, and runs that diverged no end."""
    results = with_errors(REAL[:1], IDEAL[:1], **{"data.test_samples": 50})
    single = noise_table(compare(results)).iloc[0]
    assert single["standard_error"] == pytest.approx(math.sqrt(0.31 * 0.69 / 50))
    assert single[["seed_spread", "share", "low"]].isna().all()
    unknown = noise_table(compare(with_errors(REAL, IDEAL))).iloc[0]
    assert unknown[["test_size", "standard_error"]].isna().all()
    assert unknown["seed_spread"] == pytest.approx(REAL.std(ddof=1))
    table = noise_table(compare(make_results(seeds=3, diverged=range(3))))
    assert table.loc[table["when"] == "end", "world"].tolist() == ["ideal"]


def test_size_of_the_test_set(make_pairs):
    """The fact counts, then the setting, then nothing is known."""
    runs = make_pairs([{}]).runs
    assert sizes_of_test(runs).isna().all()
    assert sizes_of_test(runs.assign(**{"data.test_samples": [7, None]})).tolist()[0] == 7
    assert sizes_of_test(runs.assign(**{"data.test_samples": 7, "facts.test_size": [5, None]})).tolist() == [5, 7]
