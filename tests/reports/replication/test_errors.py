"""Mistakes in published numbers that the planned runs show, before anything is trained."""

import pandas as pd
import pytest

from deepboot.bootstrap.columns import RUN_COLUMNS
from deepboot.reports.claims.errors import PlannedRuns
from deepboot.reports.replication.errors import published_errors, quantities

ENTRY = {"quantity": "grokking_delay", "value": 12.0, "source": "A 2020"}
KNOWN = (
    "at_least, at_most, command, confidence, event, evidence, ours, quantity, range, source, text, unspecified, value, "
    "where, world"
)
RATIO = {"quantity": "ratio", "of": {"optimizer.lr": 0.2}, "to": {"optimizer.lr": 0.1}, "value": 2, "source": "A"}


@pytest.fixture
def planned(make_pairs):
    """Runs of two rates as they are planned."""
    runs = pd.concat([make_pairs([{}] * 2, cell=f"c{lr}", **{"optimizer.lr": lr}).runs for lr in (0.1, 0.2)])
    known = [name for name in runs if name not in RUN_COLUMNS or runs[name].notna().any()]
    return PlannedRuns.of(runs[known].drop(columns=["status", "last_step", "first_reuse_step"]))


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ENTRY | {"world": "ideal", "event": "stable", "where": {"optimizer.lr": 0.1}, "text": "Late", "command": "x"},
        RATIO,
        {"quantity": "rate", "event": "memorization", "at_least": 0.5, "source": "A"},
        {"quantity": "power_law", "over": "optimizer.lr", "range": [-2, -1], "source": "A"},
    ],
)
def test_a_number_that_can_be_measured_has_no_errors(planned, entry):
    """With the settings of its kind, and without what a claim would say."""
    assert published_errors([entry], planned) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            ENTRY | {"quantity": "equivalent"},
            "`published[0].quantity`: the kind equivalent measures nothing that can stand beside a number. "
            f"Choose one of {', '.join(quantities())}.",
        ),
        (
            ENTRY | {"min_ratio": 4.0},
            "`published[0].min_ratio`: a published number is no claim and has no min_ratio. "
            "Give it as one of value, range, at_least, at_most.",
        ),
        (
            ENTRY | {"wrold": "real"},
            f"`published[0].wrold`: unknown key. Did you mean 'world'? Known: {KNOWN}.",
        ),
        (
            ENTRY | {"unspecifed": "all"},
            f"`published[0].unspecifed`: unknown key. Did you mean 'unspecified'? Known: {KNOWN}.",
        ),
        (
            ENTRY | {"event": "groking"},
            "`published[0].event`: expected 'grokking' or 'stable', got 'groking'. Choose one of these.",
        ),
        (
            {"quantity": "power_law", "value": 1, "source": "A"},
            "`published[0].over`: expected a value, but the key is missing. Add it.",
        ),
        (
            ENTRY | {"where": {"optimizer.lr": 0.3}},
            "`published[0].where.optimizer.lr`: no planned run has 0.3. Known: 0.1, 0.2.",
        ),
        (
            ENTRY | {"where": {"train_size": 750, "world": "ideal"}},
            "`published[0].where`: no cell has train_size = 750, world = ideal. Change one of these.",
        ),
        (ENTRY | {"world": "rael"}, "`published[0].world`: no run of the world 'rael' is planned. Known: ideal, real."),
        (
            RATIO | {"of": {"optimizer.lr": 0.1}},
            "`published[0]`: `of` and `to` select the same cell (lr 0.1). Change the claim, or the study.",
        ),
    ],
)
def test_a_mistake_is_told_with_the_entrys_number_and_what_is_known(planned, entry, message):
    """One sentence for each."""
    assert published_errors([entry], planned) == [message]


def test_all_mistakes_come_at_once(planned):
    """Of entries by themselves first, then beside the runs."""
    entries = [ENTRY | {"where": {"train_size": 1}}, ENTRY, ENTRY | {"quantity": "no_delay"}, ENTRY | {"world": "x"}]
    found = published_errors(entries, planned)
    assert [one.split("`")[1] for one in found] == [
        "published[2].quantity", "published[0].where.train_size", "published[3].world",
    ]  # fmt: skip
