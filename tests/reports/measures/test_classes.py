import math
import re

import numpy as np
import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.measures.classes import CLASSIFIERS, classify, liu, pair, seeds_for_share, share_interval
from deepboot.reports.statistics.intervals import Bounds, clopper_pearson


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def evaluations(train, test, online=math.nan):
    """One run's losses and errors, the same numbers, every 1,000 steps."""
    columns = {f"{name}_{kind}": values for kind in ("loss", "error")
               for name, values in (("train", train), ("test", test), ("online", online))}  # fmt: skip
    return pd.DataFrame({"run_id": "a", "step": 1_000 * np.arange(len(test)), **columns})


def sorted_into(classes):
    """The one class that the run belongs to; None where it is not measured."""
    found = [name for name, belongs in classes.items() if belongs.any()]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([1, 2e-5, 2e-5], [1, 1, 1e-9], "high train loss"),
        ([1, 1e-5, 1e-6], [1, 1, 2e-5], "high test loss"),
        ([1, 1e-3, 1e-6], [1, 1e-2, 1e-6], "together"),
        ([1, 1e-5, 1e-6], [1, 0.51, 1e-6], "grokking"),
        ([1, 1e-5, 1e-6], [1, 0.49, 1e-6], "together"),
        ([1, 0, 0], [1, 4e-4, 1e-6], "together"),  # the floor: 4e-4 over 1e-8 is 40,000
        ([1, 0, 0], [1, 6e-4, 1e-6], "grokking"),
        ([math.nan] * 3, [1, 1, 1], None),
    ],
)
def test_classes_of_pair(train, test, expected):
    """Of the losses over the run, their least and their greatest ratio decide."""
    assert sorted_into(pair(evaluations(train, test))) == expected


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], "confusion"),
        ([0.5, 0.11, 0.5], [0.5, 0.05, 0.5], "confusion"),
        ([0.5, 0.1, 0.5], [0.5, 0.5, 0.11], "memorisation"),
        ([0.5, 0.1, 0.1], [0.5, 0.5, 0.1], "grokking"),
        ([0.5, 0.1, 0.1], [0.5, 0.1, 0.5], "comprehension"),
        ([0.5, 0.5, 0.1], [0.5, 0.1, 0.5], "comprehension"),
        ([math.nan] * 3, [0.5, 0.5, 0.5], None),
    ],
)
def test_phases_of_liu(train, test, expected):
    """The first evaluations at 90 % accuracy, 1,000 steps apart, decide."""
    assert sorted_into(liu(evaluations(train, test))) == expected


def test_thresholds_move_the_classes():
    """Every threshold is a setting."""
    rows = evaluations([0.5, 0.1, 0.1], [0.5, 0.5, 0.1])
    assert sorted_into(liu(rows, min_delay=1_001)) == "comprehension"
    assert sorted_into(liu(rows, accuracy=0.95)) == "confusion"
    assert sorted_into(pair(rows, fitted=0.2, apart=5)) == "grokking"
    assert sorted_into(pair(rows, fitted=0.2, apart=5.1)) == "together"
    assert sorted_into(pair(rows, fitted=0.2, apart=5, floor=0.11)) == "together"


def test_where_there_is_no_pool_the_online_error_takes_the_place_of_the_train_error():
    """An ideal world memorises by what it has seen since the last evaluation, which step 0 does not have."""
    rows = evaluations(math.nan, [0.5, 0.5, 0.05], online=[math.nan, 0.05, 0.05])
    assert sorted_into(liu(rows)) == "grokking"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_run_has_one_outcome(make_results, name):
    """In both worlds; runs that broke are in no class, and a classifier says all the classes it has."""
    results = make_results(4, (750, 1250), evaluations=40, diverged=(1,), failed=(2,))
    found = classify(compare(results), name)
    assert list(found) == ["run_id", "cell", "world", "seed", "outcome"]
    assert found["run_id"].tolist() == results.runs["run_id"].tolist()
    assert found["outcome"].notna().all()
    real = found[found["world"] == "real"]
    assert real.loc[real["seed"] == 1, "outcome"].tolist() == ["diverged"] * 2
    assert real.loc[real["seed"] == 2, "outcome"].tolist() == ["failed"] * 2
    rest = found[~found["outcome"].isin(("diverged", "failed"))]
    assert set(rest["outcome"]) <= set(CLASSIFIERS[name].outcomes)
    assert tuple(CLASSIFIERS[name].sort(results.evaluations)) == CLASSIFIERS[name].outcomes


def test_late_and_early_runs_by_liu(make_results):
    """Where pools memorise at step 80 and grok at about 1,280, more than 1,000 later, or never."""
    found = classify(compare(make_results(4, (750,), evaluations=60, censored=(3,))), "liu", {"min_delay": 500})
    real = found[found["world"] == "real"].set_index("seed")["outcome"]
    assert real.tolist() == ["grokking"] * 3 + ["memorisation"]


def test_mistakes_in_classifiers(make_pairs):
    """A misspelt name and a threshold that there is not."""
    comparison = compare(make_pairs([{}]))
    with raises("unknown classifier 'lui'. Did you mean 'liu'? Known: pair, liu."):
        classify(comparison, "lui")
    with raises("classifier 'liu' has no setting 'delay'. Did you mean 'min_delay'? Known: accuracy, min_delay."):
        classify(comparison, "liu", {"delay": 1})


@pytest.mark.parametrize("n", [1, 6, 20])
def test_share_interval_beside_the_exact_one_of_single_runs(n):
    """Equal to Clopper and Pearson's at none and all, wider between, and never outside [0, 1]."""
    for hits in range(n + 1):
        found, exact = share_interval([1.0] * hits + [0.0] * (n - hits)), clopper_pearson(hits, n)
        if hits in (0, n):
            assert found == pytest.approx(exact, abs=1e-9)
        assert 0 <= found.low <= exact.low + 1e-9
        assert exact.high - 1e-9 <= found.high <= 1


def test_share_interval_closes_on_shares_between():
    """Where a quarter of every seed's runs belong, twenty seeds tell more than three."""
    few, many = share_interval([0.25] * 3), share_interval([0.25] * 20)
    assert few.low < many.low < 0.25 < many.high < few.high


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (Bounds(0.5, math.inf), 6),
        (Bounds(-math.inf, 0.5), 6),
        (Bounds(0.9, math.inf), 36),
        (Bounds(0.25, 0.75), 26),
        (Bounds(0.5, 0.5), None),
        (Bounds(1.0, math.inf), None),
        (Bounds(0.0, 1.0), 1),
    ],
)
def test_seeds_for_share(region, expected):
    """The number given suffices at the best share, and one less does not."""
    assert seeds_for_share(region) == expected
    if expected and expected > 1:
        fits = {}
        for n in (expected - 1, expected):
            ends = [share_interval([share] * n) for share in np.linspace(0, 1, 101)]
            fits[n] = any(region.low <= low + 1e-9 and high - 1e-9 <= region.high for low, high in ends)
        assert fits == {expected - 1: False, expected: True}


@pytest.mark.slow
@pytest.mark.parametrize("cells", [1, 10])
@pytest.mark.parametrize("n", [3, 6, 20])
def test_share_interval_covers(n, cells, record_property):
    """Of 2,000 studies at least 95 % (less 3 errors) cover, also where the runs of a seed all end alike."""
    random, covered = np.random.default_rng(n), 0
    for _ in range(2_000):
        alike = random.random(n)[:, None] < 0.5
        rates = np.where(alike, 0.9, 0.3)
        low, high = share_interval((random.random((n, cells)) < rates).mean(axis=1))
        covered += low <= 0.6 <= high
    record_property("coverage", covered / 2_000)
    assert covered / 2_000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 2_000)
