"""Mistakes in claims that the planned runs show, before anything is trained."""

import pandas as pd
import pytest

from deepboot.bootstrap.columns import RUN_COLUMNS
from deepboot.reports.claims.errors import NO_PROBES, PlannedRuns, claim_errors
from deepboot.reports.claims.where import select

DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
RATIO = {"kind": "ratio", "of": {"optimizer.lr": 0.2}, "to": {"optimizer.lr": 0.1}, "min_ratio": 2.0}
RISES = {"kind": "monotone", "over": "optimizer.lr", "direction": "rises"}
RATE = {"kind": "rate", "min_rate": 0.5}
SETTINGS = "world, task, model, optimizer, train_size, train_fraction, batch_size, data.label_noise, optimizer.betas"
METRICS = (
    "train_loss, train_error, train_soft_error, test_loss, test_error, test_soft_error, online_loss, online_error, "
    "weight_norm"
)


@pytest.fixture
def planned(make_pairs):
    """Runs of two rates as they are planned, with or without ideal partners."""

    def make(*, ideal=True, world="real", noise=0.0, probes=NO_PROBES):
        settings = {"data.label_noise": noise, "optimizer.betas": "[0.9, 0.98]", "task": "sparse_parity"}
        both = pd.concat(
            [make_pairs([{}] * 2, cell=f"c{lr}", **settings, **{"optimizer.lr": lr}).runs for lr in (0.1, 0.2)]
        )
        known = [name for name in both if name not in RUN_COLUMNS or both[name].notna().any()]
        outcomes = ["status", "last_step", "first_reuse_step"]
        runs = both[known].drop(columns=outcomes).replace({"world": {"real": world}})
        runs = runs if ideal else runs[runs["world"] != "ideal"].assign(ideal_run_id=None)
        return PlannedRuns.of(runs, probes)

    return make


@pytest.mark.parametrize(
    ("where", "cells"),
    [
        ({"training.transforms": []}, {"plain"}),
        ({"training.transforms": ["clip"]}, {"clip"}),
        ({"training.transforms": ["clip", "normalize"]}, {"both"}),
        ({"training.transforms.0.norm": []}, {"plain"}),
        ({"training.transforms.0.norm": [1.0, 2.0]}, {"clip", "both"}),
        ({"training.transforms": ["normalize"]}, set()),
    ],
)
def test_a_list_selects_the_cell_that_has_it_and_an_empty_one_the_cell_that_has_none(make_pairs, where, cells):
    """Of transforms by their names in order; the runs' own table is of a study that sweeps over them."""
    held = {"plain": (None, None), "clip": ('["clip"]', 1.0), "both": ('["clip", "normalize"]', 2.0)}
    runs = pd.concat(
        make_pairs([{}] * 2, cell=cell, **{"training.transforms": names, "training.transforms.0.norm": norm}).runs
        for cell, (names, norm) in held.items()
    )
    planned = PlannedRuns.of(runs)
    chosen, _ = select(planned.comparison, where, "real")
    assert {cell.removeprefix("real-") for cell in chosen["cell_id"]} == cells
    told = claim_errors([RATE | {"where": where}], planned)
    known = 'Known: ["clip"], ["clip", "normalize"].'
    assert told == ([] if cells else [f"`claims[0].where.training.transforms`: no planned run has normalize. {known}"])


@pytest.mark.parametrize(
    "claim",
    [
        DELAY,
        DELAY | {"world": "ideal"},
        DELAY | {"where": {"optimizer": {"lr": 0.1}, "train_size": [750]}},
        DELAY | {"where": {"optimizer.betas": [0.9, 0.98], "world": ["real", "ideal"]}},
        RATIO,
        RATIO | {"world": "ideal"},
        RISES,
        RATE,
        {"kind": "bootstrap_error", "metric": "test_loss", "max": 0.1},
        {"kind": "final_error", "metric": "train_error", "max": 0.1},
        {"kind": "rank_agreement", "min_tau": 0.5},
    ],
)
def test_a_claim_that_can_be_judged_has_no_errors(planned, claim):
    """Whatever way its cells are written."""
    assert claim_errors([claim], planned()) == []


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            DELAY | {"where": {"train_sise": 750}},
            "`claims[0].where.train_sise`: no setting of the runs has this name. Did you mean 'train_size'? "
            f"Known: {SETTINGS}, optimizer.lr.",
        ),
        (
            DELAY | {"where": {"status": "finished"}},  # selecting by what became of the runs would be a choice
            "`claims[0].where.status`: this is known only after the runs. Select by a setting instead.",
        ),
        (DELAY | {"where": {"train_size": 70}}, "`claims[0].where.train_size`: no planned run has 70. Known: 750."),
        (
            DELAY | {"where": {"optimizer": {"lr": [0.1, 0.3]}}},
            "`claims[0].where.optimizer.lr`: no planned run has 0.3. Known: 0.1, 0.2.",
        ),
        (
            DELAY | {"where": {"train_size": 750, "world": "ideal"}},
            "`claims[0].where`: no cell has train_size = 750, world = ideal. Change one of these.",
        ),
        (
            DELAY | {"world": "idael"},
            "`claims[0].world`: no run of the world 'idael' is planned. Known: ideal, real.",
        ),
        (
            RATIO | {"of": {"optimizer.lr": 0.3}},
            "`claims[0].of.optimizer.lr`: no planned run has 0.3. Known: 0.1, 0.2.",
        ),
        (
            RATIO | {"of": {"optimizer.lr": 0.1}},
            "`claims[0]`: `of` and `to` select the same cell (lr 0.1). Change the claim, or the study.",
        ),
        (
            RATIO | {"of": {"train_size": 750}},
            "`claims[0]`: `of` selects 2 cells (lr 0.1; lr 0.2), and must select one. Change the claim, or the study.",
        ),
        (
            RISES | {"over": "optimizer.rate"},
            "`claims[0]`: `over` names no setting 'optimizer.rate'. Did you mean 'optimizer.lr'? Known: "
            f"{SETTINGS}, optimizer.lr. Change the claim, or the study.",
        ),
        (
            RISES | {"over": "train_size"},
            "`claims[0]`: train_size is 750 in two cells (lr 0.1; lr 0.2): "
            "hold the other settings fixed in `where`. Change the claim, or the study.",
        ),
        (
            RISES | {"where": {"optimizer.lr": 0.1}},
            "`claims[0].where`: it selects one cell (lr 0.1), and this kind compares two or more.",
        ),
        (
            {"kind": "bootstrap_error", "metric": "test_eror", "max": 0.1},
            f"`claims[0].metric`: unknown metric 'test_eror'. Did you mean 'test_error'? Known: {METRICS}.",
        ),
        (
            {"kind": "equivalent", "metric": "train_error", "margin": 0.1},
            "`claims[0].metric`: the ideal world has no pool, and so no train_error. "
            "Choose one of test_loss, test_error, test_soft_error.",
        ),
        (
            {"kind": "rate"},
            "`claims[0]`: claim `rate` needs a bound on the share, got none. Give `min_rate`, `max_rate` or both.",
        ),
        (
            {"kind": "bootstrap_error", "min": 1.0, "max": 0.0},
            "`claims[0]`: claim `bootstrap_error` needs `min` to be at most `max`, got 1 and 0. Exchange them.",
        ),
    ],
)
def test_a_mistake_is_told_with_the_claims_number_and_what_is_known(planned, claim, message):
    """One sentence for each."""
    assert claim_errors([claim], planned()) == [message]


def test_a_clean_error_is_known_where_labels_are_noisy(planned):
    """There the column is measured, elsewhere it is not."""
    claim = {"kind": "final_error", "metric": "train_clean_error", "max": 0.1}
    assert claim_errors([claim], planned(noise=0.1)) == []
    assert len(claim_errors([claim], planned())) == 1


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "bootstrap_error", "max": 0.1},
        {"kind": "difference", "min_difference": 0.1},
        {"kind": "equivalent", "margin": 0.1},
        {"kind": "faster"},
        {"kind": "gap_share", "max_share": 0.5},
        {"kind": "predicts", "max_error": 0.1},
        {"kind": "rank_agreement", "min_tau": 0.5},
        {"kind": "same_memorization"},
    ],
)
def test_a_comparison_with_an_ideal_world_that_is_not_trained_is_refused(planned, claim):
    """Every kind that looks at pairs."""
    assert claim_errors([RATE, claim], planned(ideal=False)) == [
        f"`claims[1]`: the kind {claim['kind']} looks at the ideal world, which no cell that it selects has. "
        "Set training.ideal = true, or change `where`."
    ]


def test_a_world_that_is_not_planned_is_refused(planned):
    """The ideal one where it is not trained, and the real one where all runs have another rule."""
    assert claim_errors([RATE | {"world": "ideal"}], planned(ideal=False)) == [
        "`claims[0].world`: no run of the world 'ideal' is planned. Set training.ideal = true. Known: real."
    ]
    assert claim_errors([RATE], planned(world="fresh")) == [
        "`claims[0].world`: no run of the world 'real' is planned. Known: fresh, ideal."
    ]
    assert claim_errors([RATE | {"world": "fresh"}], planned(world="fresh")) == []


def test_all_mistakes_come_at_once(planned):
    """Of all claims, and of each of them."""
    claims = [{"kind": "rate", "where": {"size": 1, "train_size": 1}}, DELAY, DELAY | {"world": "rael"}]
    found = claim_errors(claims, planned())
    assert [one.split("`")[1] for one in found] == [
        "claims[0]", "claims[0].where.size", "claims[0].where.train_size", "claims[2].world",
    ]  # fmt: skip


def test_values_of_the_studys_probes_are_metrics(planned):
    """By their full names, where these are known before the run; another one is named with those that there are."""
    claim = {"kind": "final_error", "max": 0.1, "metric": "probes.layer_norms.hidden"}
    probes = {"layer_norms": {"layer_norms.hidden", "layer_norms.output"}, "sharpness": set()}
    assert claim_errors([claim, claim | {"metric": "probes.sharpness.any"}], planned(probes=probes)) == []
    (message,) = claim_errors([claim | {"metric": "probes.layer_norm"}], planned(probes=probes))
    assert message.startswith("`claims[0].metric`: the study has no such probe. Did you mean 'probes.layer_norms")
    assert claim_errors([claim | {"metric": "probes.layer_norms.hiden"}], planned(probes=probes)) == [
        "`claims[0].metric`: the probe has no value 'probes.layer_norms.hiden'. Did you mean "
        "'probes.layer_norms.hidden'? Known: probes.layer_norms.hidden, probes.layer_norms.output, probes.sharpness."
    ]
