"""The ledger: a published number is measured by a kind of claim, and only by it."""

import dataclasses
import math

import numpy as np
import pytest

from deepboot.bootstrap.registry import find
from deepboot.bootstrap.study.schema import Published
from deepboot.reports import compare
from deepboot.reports.claims.judge import judge, judge_in_cells
from deepboot.reports.claims.kind import traits_of
from deepboot.reports.replication.errors import quantities
from deepboot.reports.replication.ledger import as_claim, replications
from deepboot.reports.replication.published import published_text
from tests.reports.simulated import beside

LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
NEVER = LATE | {"grokking": (4000, None)}
DELAY = {"quantity": "grokking_delay", "value": 10.0, "source": "A 2020"}
SHARED = {"of": {"train_size": [100, 200]}, "to": {"train_size": [100, 200]}}
GROUPS = {"of": {"train_size": 200}, "to": {"train_size": 100}}
SETTINGS = {  # of the kinds that need some
    "change": {"metric": "test_error"},
    "crossing": {"metric": "test_error", "over": "train_size", **SHARED},
    "final_difference": GROUPS,
    "head_start": {"since": "train_size"},
    "outcome_profile": {"classifier": "liu", "outcome": "grokking"},
    "power_law": {"over": "train_size"},
    "ratio": GROUPS,
    "trend": {"over": "train_size"},
    "variance_share": {"over": "train_size", "beside": ["seed"]},
}
OTHERS = {  # bounds other than those that the ledger measures with
    "direction": "falls", "max_error": 0.01, "max_ratio": 7.0, "max_share": 0.1, "min": 7, "min_rate": 0.5,
    "min_ratio": 7.0, "min_share": 0.5, "min_shape": 7.0, "min_slope": 7.0, "min_tau": 0.5,
}  # fmt: skip


def pools(make_pairs, published=(), sizes=(100, 200, 400, 800), runs=8):
    """Results of cells with these pools, in which runs grok the later the larger the pool is."""
    random, made = np.random.default_rng(1), []
    for size in sizes:
        pairs = []
        for _ in range(runs):
            step = int(size * 5 * math.exp(random.normal(0, 0.1)))
            errors = list(random.normal(0.1 + size / 10_000, 0.02, 4))
            pairs.append(LATE | {"grokking": (step - 9, step), "stopping": 20, "differences": errors})
        results = make_pairs(pairs, cell=str(size), train_size=size)
        made.append(dataclasses.replace(results, study={"claims": [], "published": list(published)}))
    return compare(made)


@pytest.mark.parametrize("kind", quantities())
def test_estimate_and_interval_are_those_of_a_claim_whatever_it_claims(make_pairs, kind):
    """The bounds with which the ledger measures change nothing: with others the effect has the same numbers."""
    entry = {"quantity": kind, "value": 1.0, "source": "A 2020"} | SETTINGS.get(kind, {})
    ones = replications(pools(make_pairs, [entry]))
    assert {one.judgement.effect.name for one in ones}
    bounds = traits_of(kind).quantity.bounds
    changed = {name: OTHERS[name] for name, value in bounds.items() if value is not None}
    claim = as_claim(entry) | changed
    others = judge_in_cells(pools(make_pairs), claim, 1)
    assert len(ones) == len(others) == (1 if traits_of(kind).scope == "cells" else 4)
    for one, other in zip(ones, others, strict=True):
        assert one.judgement.effect.region != other.effect.region
        assert (one.judgement.effect.estimate, one.judgement.effect.interval) == (
            other.effect.estimate, other.effect.interval,
        )  # fmt: skip


@pytest.mark.parametrize(("as_ratio", "outcome"), [(False, "agrees"), (True, "same direction")])
def test_no_effect_may_depend_on_the_settings(make_pairs, as_ratio, outcome):
    """A change that is no more than 0 as a difference, and 1 as a ratio."""
    pairs = [LATE | {"differences": [0.4, 0.2, 0.1, 0.1 - scatter]} for scatter in (0.0, 0.01, 0.02)]
    entry = {"quantity": "change", "metric": "test_error", "as_ratio": as_ratio, "at_most": 0.3, "source": "A"}
    results = dataclasses.replace(make_pairs(pairs), study={"published": [entry]})
    (one,) = replications(compare(results))
    assert one.outcome == outcome


def test_most_quantities_have_an_interval_on_these_pools(make_pairs):
    """So the test above compares numbers, and not only their absence."""
    asked = [{"quantity": kind, "value": 1.0, "source": "A"} | SETTINGS.get(kind, {}) for kind in quantities()]
    ones = replications(pools(make_pairs, asked))
    measured = {one.entry.quantity for one in ones if one.judgement.effect.interval}
    assert measured >= {"grokking_delay", "faster", "step", "rate", "ratio", "power_law", "trend", "bootstrap_error",
                        "final_error", "final_difference", "gap_share"}  # fmt: skip


def test_kinds_whose_numbers_depend_on_the_claim_measure_no_quantity():
    """Intervals that are cut at the claimed ends, and moves in the wrong direction."""
    assert not {"equivalent", "no_delay", "same_memorization", "monotone", "difference"} & set(quantities())
    tailored = {kind for kind in quantities() if traits_of(kind).tailored}
    assert not tailored


def test_a_number_is_judged_in_every_cell_that_it_selects(make_pairs):
    """With the cell in its name, the claims of the study left alone."""
    entries = [DELAY | {"where": {"train_size": [100, 400]}}, DELAY | {"where": {"train_size": 100}, "value": 5.0}]
    ones = replications(pools(make_pairs, entries))
    assert [one.quantity for one in ones] == [
        "median ratio of the grokking step to the memorisation step in the real world, train_size 100",
        "median ratio of the grokking step to the memorisation step in the real world, train_size 400",
        "median ratio of the grokking step to the memorisation step in the real world, train_size 100",
    ]
    assert [one.outcome for one in ones] == ["same direction", "same direction", "agrees"]
    assert [one.counted for one in ones] == ["8 of 8"] * 3
    assert judge(pools(make_pairs, entries)) == []


def test_ours_as_a_study_keeps_it(make_pairs):
    """Estimate, interval, number and verdict, by hand: steps 900 to 1,000 over 90 to 100."""
    results = dataclasses.replace(make_pairs([LATE] * 6), study={"published": [DELAY]})
    (one,) = replications(compare(results))
    assert one.ours == "about 10.0 (9.0 to 11.1), 6 of 6, agrees"
    assert one.reason == ""


@pytest.mark.parametrize(
    ("pairs", "ours", "reason"),
    [
        ([LATE] * 2, "about 10.0 (no interval), 2 of 2, undecided",
         "2 runs, and a 95 % interval of a median needs 6"),
        ([LATE] * 2 + [NEVER] * 6, "more than 40 (at least 9), 8 of 8, not reached", "6 of 8 never grokked"),
        ([NEVER] * 2, "more than 40 (no interval), 2 of 2, not reached",
         "2 runs, and a 95 % interval of a median needs 6; none of 2 grokked, so that it is known from below only"),
        ([LATE] * 7 + [NEVER], "about 10.0 (at least 9), 8 of 8, agrees", "1 of 8 never grokked"),
    ],
)  # fmt: skip
def test_runs_that_never_grok_or_are_too_few(make_pairs, pairs, ours, reason):
    """A number is not reached where the median run is not there, and undecided where no interval can be had."""
    results = dataclasses.replace(make_pairs(pairs), study={"published": [DELAY]})
    (one,) = replications(compare(results))
    assert (one.ours, one.reason) == (ours, reason)


def test_of_several_folders_each_has_its_own_numbers(make_pairs, tmp_path):
    """Judged in that folder's cells, and named."""
    made = [
        dataclasses.replace(make_pairs([LATE] * 6, cell=name), study={"published": [DELAY | {"value": value}]},
                            folder=tmp_path / name)
        for name, value in (("a", 10.0), ("b", 50.0))
    ]  # fmt: skip
    ones = replications(compare(made))
    assert [(one.folder, one.outcome) for one in ones] == [
        (str(tmp_path / "a"), "agrees"), (str(tmp_path / "b"), "same direction"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"quantity": "faster", "text": "Soon"}, "published number 'Soon': `source`: Field required. "
         "Mend it in the study."),
        (DELAY | {"value": "x"}, "published number 'grokking_delay': `value`: Input should be a valid number, unable "
         "to parse string as a number. Mend it in the study."),
        (DELAY | {"quantity": "monotone"}, "the kind monotone measures nothing that can stand beside a number."),
    ],
)  # fmt: skip
def test_an_entry_that_was_broken_by_hand_is_named(make_pairs, entry, message):
    """A folder's study may be edited after its runs."""
    results = dataclasses.replace(make_pairs([LATE] * 6), study={"published": [entry]})
    with pytest.raises(ValueError) as error:  # noqa: PT011  the whole message is compared
        replications(compare(results))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"value": 12.0}, "12"),
        ({"value": 0.106}, "0.106"),
        ({"value": -0.5}, "−0.5"),
        ({"value": 1e6}, "1,000,000"),
        ({"range": [10, 15]}, "10 to 15"),
        ({"at_least": 1.5}, "at least 1.5"),
        ({"at_most": 10_000}, "at most 10,000"),
    ],
)
def test_a_published_number_is_written_as_given(given, text):
    """With all of its digits, and separators as everywhere."""
    assert published_text(Published(quantity="rate", source="A", **given)) == text


def delays(random, truth, *, studies=300, seeds=10):
    """Studies whose runs memorise at step 100 and grok this many times as late in the median."""
    grokking = 1_000 * truth * np.exp(random.normal(0, 0.4, (studies, 1, seeds)))
    return {"memorization": np.full_like(grokking, 1_000.0), "grokking": grokking}


def test_the_true_number_agrees_and_others_do_not():
    """By simulation: the interval misses the truth in at most 5 % of studies; far off, only the direction is left."""
    drawn = delays(np.random.default_rng(0), 12.0)
    agreeing = beside(DELAY | {"value": 12.0}, drawn).count("agrees") / 300
    assert agreeing >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)
    few = {name: values[:25] for name, values in drawn.items()}
    assert set(beside(DELAY | {"value": 100.0}, few)) == {"same direction"}
    assert set(beside(DELAY | {"value": 0.1}, few)) == {"differs"}
    assert set(beside(DELAY | {"value": 12.0, "evidence": "direction"}, few)) == {"same direction"}
    assert "not reached" in beside(DELAY, few, cut=0.7)


def test_without_an_effect_no_direction_is_found():
    """By simulation: a ratio of 1 is said to have a direction in at most 5 % of studies."""
    drawn = delays(np.random.default_rng(1), 1.0)
    found = beside(DELAY | {"at_least": 1.0, "value": None, "evidence": "direction"}, drawn)
    assert found.count("undecided") / 300 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)


def test_every_kind_that_measures_a_quantity_is_a_kind():
    """The table of quantities is that of the claims."""
    assert all(find("claim", kind) for kind in quantities())
