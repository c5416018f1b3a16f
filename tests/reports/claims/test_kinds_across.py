import json
import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.bootstrap.registry import settings
from deepboot.reports import compare
from deepboot.reports.claims.judge import Across, Effect, claim_kind, fewest_seeds, judge
from deepboot.reports.claims.kind import scope_of
from deepboot.reports.claims.kinds.agreement import outcome_profile, predicts, rank_agreement
from deepboot.reports.claims.kinds.groups import ratio
from deepboot.reports.claims.kinds.scaling import power_law, threshold
from deepboot.reports.claims.kinds.trends import monotone, trend
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.tables.verdicts import verdicts

NEVER = {"grokking": (4000, None)}
DIVERGED = {"grokking": (300, None), "status": "diverged"}
RATIO = {"kind": "ratio", "of": {"train_size": 100}, "to": {"train_size": 400}, "min_ratio": 3.0}
FALLS = {"kind": "trend", "over": "train_size", "direction": "falls"}
POWER = {"kind": "power_law", "over": "train_size", "max_slope": -0.5}
SIZE = {"kind": "threshold", "max": 500}
RANKS = {"kind": "rank_agreement", "min_tau": 0.5}
PREDICTS = {"kind": "predicts", "max_error": 0.05}
PROFILE = {"kind": "outcome_profile", "classifier": "liu", "outcome": "comprehension", "min_rate": 0.5}
UNKNOWN = "Did you mean 'train_size'? Known: world, task, model, optimizer, train_size, train_fraction, batch_size"


def at(*steps):
    """Pairs that grok in the tenth before these steps."""
    return [{"grokking": (step * 9 // 10, step), "memorization": (90, 100)} for step in steps]


def study(make_pairs, cells, claim, over="train_size"):
    """One claim on cells that differ in one setting."""
    return compare(
        [make_pairs(pairs, cell=str(value), claims=[claim], **{over: value}) for value, pairs in cells.items()]
    )


def judged(make_pairs, cells, claim, over="train_size"):
    """The one judgement of a claim on cells that differ in one setting."""
    (one,) = judge(study(make_pairs, cells, claim, over))
    return one


def scattered(seed=0, seeds=6, slope=-1.0):
    """Cells of three sizes whose grokking step falls with a power of the size, and scatters."""
    random = np.random.default_rng(seed)
    sizes = (100, 200, 400)
    return {n: at(*(int(1e5 * n**slope * math.exp(random.normal(0, 0.1))) for _ in range(seeds))) for n in sizes}


CELLS = {100: at(*[2000] * 6), 200: at(*[1000] * 6), 400: at(*[500] * 6)}


def test_a_kind_over_cells_is_judged_once(make_pairs):
    """Over all cells that `where` selects, with their settings at hand, and with no cell to name."""

    @claim_kind("own_across", min_seeds=2, scope="cells")
    def own_across(across: Across, *, most: int) -> Effect:
        """The cells have at most this many runs."""
        assert across.cells["train_size"].tolist() == [100, 200]
        assert across.runs_of("real")["cell_index"].tolist() == [0] * 6 + [1] * 6
        assert across.runs_of("ideal")["world"].tolist() == ["ideal"] * 12
        assert across.pairs_at("end")["cell_index"].tolist() == [0] * 6 + [1] * 6
        n = len(across.runs_of("real"))
        return Effect("number of runs", Bounds(0, most), n, "runs", Bounds(n, n), Bounds(n, n))

    claim = {"kind": "own_across", "most": 12, "where": {"train_size": [100, 200]}, "quantifier": "any"}
    one = judged(make_pairs, CELLS, claim)
    assert (one.verdict, one.overall, one.cell_id, one.cell) == ("supported", "supported", None, "over 2 cells")
    assert one.sentence.startswith("Supported over 2 cells: the number of runs is 12")
    assert (one.as_dict()["cell"], one.as_dict()["cell_id"]) == ("over 2 cells", None)
    assert fewest_seeds([claim]) == [2]
    assert scope_of("own_across") == "cells"


def test_kinds_are_judged_in_each_cell_unless_they_say_otherwise():
    """The scope of every kind that compares cells, and of one that does not."""
    kinds = ("ratio", "monotone", "trend", "power_law", "threshold", "rank_agreement", "predicts", "outcome_profile")
    assert {scope_of(kind) for kind in kinds} == {"cells"}
    assert scope_of("rate") == "cell"


@pytest.mark.parametrize("claim", [RATIO, FALLS, POWER, SIZE, RANKS, PREDICTS])
@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"train_size": 5}, "no cell has train_size = 5"),
        ({"train_size": 100}, "`where` selects one cell (train_size 100), and this kind compares two or more"),
    ],
)
def test_fewer_than_two_cells_are_not_compared(make_pairs, claim, where, reason):
    """With the reason, and without a cell."""
    one = judged(make_pairs, CELLS, claim | {"where": where})
    assert (one.verdict, one.overall, one.cell, one.effect) == ("inconclusive", "inconclusive", None, None)
    assert one.sentence == f"Not judged: {reason}."


def test_fewest_seeds_of_each_kind():
    """Where more cells can stand in for seeds, one seed may do."""
    claims = [RATIO, FALLS, POWER, SIZE, RANKS, PREDICTS, PROFILE, PROFILE | {"min_rate": 0.9}]
    assert fewest_seeds(claims) == [6, 1, 1, 6, 1, 1, 6, 36]
    assert fewest_seeds([PROFILE | {"max_rate": 0.5}, PROFILE | {"min_rate": 1.0}]) == [None, None]


def test_a_comparison_of_cells_is_one_row_of_the_table(make_pairs):
    """With the cells counted where others have their label."""
    (row,) = verdicts([judged(make_pairs, CELLS, FALLS)]).rows
    assert row[1:4] == ("trend (over train_size, direction falls)", "over 3 cells", "supported")


def test_studies_take_the_settings_of_every_kind():
    """As TOML writes them: nested tables, whole numbers."""
    claims = [RATIO, FALLS, POWER, SIZE | {"budget": 500}, RANKS, PREDICTS, PROFILE | {"settings": {"min_delay": 500}}]
    for claim in claims:
        given = {key: value for key, value in claim.items() if key != "kind"}
        assert settings("claim", claim["kind"]).model_validate_json(json.dumps(given), strict=True)


def test_title_names_what_is_compared(make_pairs):
    """Settings of a group as a reader would write them."""
    assert judged(make_pairs, CELLS, RATIO).title == "ratio (of train_size 100, to train_size 400, min_ratio 3)"


@pytest.mark.parametrize(
    ("late", "soon", "bounds", "expected"),
    [
        (at(*[2000] * 6), at(*[500] * 6), {"min_ratio": 3.0}, "supported"),  # 3.6 to 4.4
        (at(*[2000] * 6), at(*[500] * 6), {"min_ratio": 5.0}, "refuted"),
        (at(*[2000] * 6), at(*[500] * 6), {"min_ratio": 4.0}, "inconclusive"),
        (at(*[2000] * 6), at(*[500] * 6), {"min_ratio": 3.0, "max_ratio": 5.0}, "supported"),
        (at(*[2000] * 6), at(*[500] * 6), {"max_ratio": 3.0}, "refuted"),
        (at(*[2000] * 5), at(*[500] * 6), {"min_ratio": 3.0}, "inconclusive"),  # five pairs
        ([NEVER] * 6, at(*[500] * 6), {"min_ratio": 3.0}, "supported"),  # beyond 8
        (at(*[500] * 6), [NEVER] * 6, {"min_ratio": 3.0}, "refuted"),
        ([NEVER] * 6, [NEVER] * 6, {"min_ratio": 3.0}, "inconclusive"),
        ([*at(*[2000] * 8), DIVERGED], at(*[500] * 9), {"min_ratio": 3.0}, "supported"),
        ([*at(*[2000] * 5), DIVERGED], at(*[500] * 6), {"max_ratio": 5.0}, "inconclusive"),
    ],
)
def test_ratio(make_pairs, late, soon, bounds, expected):
    """The ratio of the groups' grokking steps, paired by seed, against bounds on it."""
    claim = {key: RATIO[key] for key in ("kind", "of", "to")} | bounds
    assert judged(make_pairs, {100: late, 400: soon}, claim).verdict == expected


def test_ratio_by_hand(make_pairs):
    """Bounds of 1,800 to 2,000 over 450 to 500 in eleven pairs, one beyond the budget, one seed alone."""
    one = judged(make_pairs, {100: [*at(*[2000] * 11), NEVER], 400: at(*[500] * 13)}, RATIO)
    assert one.effect.interval == pytest.approx((3.6, math.inf))
    assert one.sentence == (
        "Supported over 2 cells: the typical ratio of the grokking step with train_size 100 to that with train_size "
        "400 is about 4.00 (95 % interval at least 3.6; 12 of 13 pairs; 1 of 13 with a run that never grokked; 1 run "
        "without the other of its seed); the known runs fix it to within 23 %; claimed: at least 3."
    )


def test_ratio_of_memorisation_in_both_worlds(make_pairs):
    """The real runs memorise at 100 in both groups; the ideal partners of one memorise twice as late."""
    late = [pair | {"ideal_memorization": (190, 200)} for pair in at(*[2000] * 6)]
    soon = [pair | {"ideal_memorization": (90, 100)} for pair in at(*[500] * 6)]
    claim = RATIO | {"event": "memorization", "min_ratio": 1.5}
    assert judged(make_pairs, {100: late, 400: soon}, claim).verdict == "refuted"
    one = judged(make_pairs, {100: late, 400: soon}, claim | {"world": "ideal"})
    assert one.verdict == "supported"
    name = "typical ratio of the memorisation step with train_size 100 to that with train_size 400 in the ideal world"
    assert one.effect.name == name


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"of": {"train_size": 5}}, "`of`: no cell has train_size = 5"),
        ({"to": {"train_sise": 5}}, f"`to` names no column 'train_sise'. {UNKNOWN}"),
        ({"of": {}}, "`of` selects 3 cells (train_size 100; train_size 200; train_size 400), and must select one"),
        ({"of": {"train_size": 400}}, "`of` and `to` select the same cell (train_size 400)"),
    ],
)
def test_groups_of_a_ratio_that_are_not_one_cell_each(make_pairs, changed, reason):
    """The reason says which group, and what it selects."""
    one = judged(make_pairs, CELLS, RATIO | changed)
    assert one.sentence == f"Not judged over 3 cells: {reason}."


def test_ratio_of_few_pairs_says_how_many_it_needs(make_pairs):
    """Six at 95 %, more for a claim that shares its error."""
    one = judged(make_pairs, {100: at(2000), 400: at(500)}, RATIO)
    assert one.sentence == "Not judged over 2 cells: 1 pair, and a 95 % interval of a ratio needs 6."
    assert one.effect.estimate == pytest.approx((3.6, 2000 / 450))


@pytest.mark.parametrize(
    ("cells", "claim", "expected"),
    [
        (CELLS, FALLS, "supported"),
        (CELLS, FALLS | {"direction": "rises"}, "refuted"),
        ({100: at(*[500] * 6), 200: at(*[400] * 3, *[600] * 3)}, FALLS, "inconclusive"),
        ({100: [NEVER] * 6, 200: at(*[1000] * 6)}, FALLS, "supported"),
        ({100: [DIVERGED] * 6, 200: at(*[1000] * 6)}, FALLS, "supported"),
        (CELLS, FALLS | {"where": {"train_size": [200, 400]}}, "supported"),
        (CELLS, FALLS | {"world": "ideal"}, "inconclusive"),
    ],
)
def test_trend(make_pairs, cells, claim, expected):
    """The trend of the grokking step along the size against a claim of its direction."""
    assert judged(make_pairs, cells, claim).verdict == expected


def test_trend_by_hand(make_pairs):
    """Perfect order but for runs that are equal within a cell."""
    cells = {100: [*at(900, 950, 1000), NEVER, DIVERGED], 400: at(500, 510, 520, 530, 540)}
    one = judged(make_pairs, cells, FALLS)
    assert one.effect.estimate.low == pytest.approx(-25 / math.sqrt(25 * 44))  # 44 of 45 pairs are untied
    assert one.sentence == (
        "Supported over 2 cells: the rank trend (tau) of the grokking step along train_size is −0.75 (95 % interval "
        "−0.92 to −0.35; 10 of 10 runs; 1 of 10 never grokked; 1 of 10 diverged before); claimed: below 0."
    )


def test_trend_along_a_dotted_setting_of_the_final_error(make_pairs):
    """A diverged run is the worst, whatever its last error."""
    cells = {
        0.1: [{"differences": [0, 0, 0, value]} for value in (0.01, 0.02, 0.03, 0.04)],
        0.2: [{"differences": [0, 0, 0, value]} for value in (0.05, 0.06, 0.07)] + [{"status": "diverged"}],
    }
    claim = {"kind": "trend", "over": "optimizer.lr", "direction": "rises", "event": "final_error"}
    one = judged(make_pairs, cells, claim, over="optimizer.lr")
    assert (one.verdict, one.effect.n, one.effect.note) == ("supported", 8, "1 of 8 diverged")
    assert one.effect.name == "rank trend (tau) of the final test error along optimizer.lr"


def test_trend_takes_no_budget_for_a_step(make_pairs):
    """A run beyond a budget of 1,000 and one that groks at 3,000 cannot be told apart."""
    short = [{"grokking": (1000, None)}] * 4
    one = judged(make_pairs, {100: short, 400: at(3000, 3000, 3000, 500)}, FALLS)
    assert one.effect.note == "4 of 8 never grokked; 3 of 8 later than the shortest budget"
    assert one.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("cells", "changed", "reason"),
    [
        (CELLS, {"over": "train_sise"}, f"`over` names no setting 'train_sise'. {UNKNOWN}"),
        (CELLS, {"over": "model"}, "model is none in the cell train_size 100, and an order needs numbers"),
        ({1: at(500), 2: at(400)}, {}, "2 runs, and an interval of a rank trend needs 5"),
        ({1: at(*[500] * 3), 2: at(*[500] * 3)}, {}, "the grokking step is the same in all 6 runs"),
        ({1: at(*[500] * 6), 2: [{}] * 6}, {}, "1 cell with a run that measures it"),
    ],
)
def test_trends_that_cannot_be_judged(make_pairs, cells, changed, reason):
    """The reason is a sentence."""
    one = judged(make_pairs, cells, FALLS | changed)
    assert one.sentence == f"Not judged over {len(cells)} cells: {reason}."


@pytest.mark.parametrize("claim", [FALLS, POWER])
def test_a_setting_has_to_tell_the_cells_apart(make_pairs, claim):
    """Cells that differ in something else too would mix both."""
    results = [
        make_pairs(at(*[500] * 6), cell=f"{size}-{lr}", claims=[claim], train_size=size, **{"optimizer.lr": lr})
        for size in (100, 200)
        for lr in (0.1, 0.2)
    ]
    (one,) = judge(compare(results))
    assert one.sentence == (
        "Not judged over 4 cells: train_size is 100 in two cells (train_size 100, lr 0.1; train_size 100, lr 0.2): "
        "hold the other settings fixed in `where`."
    )


@pytest.mark.parametrize(
    ("cells", "claim", "expected"),
    [
        (scattered(), POWER, "supported"),
        (scattered(), POWER | {"max_slope": -2.0}, "refuted"),
        (scattered(), POWER | {"max_slope": -1.05}, "inconclusive"),
        (scattered(), POWER | {"min_slope": -1.5}, "supported"),
        (scattered() | {50: [NEVER] * 6}, POWER, "supported"),
        (scattered() | {50: [DIVERGED] * 6}, POWER, "inconclusive"),  # no step of theirs lies on any line
        (scattered(), POWER | {"event": "memorization"}, "refuted"),
    ],
)
def test_power_law(make_pairs, cells, claim, expected):
    """The exponent, of about −1, against bounds on it."""
    assert judged(make_pairs, cells, claim).verdict == expected


def test_power_law_by_hand(make_pairs):
    """Steps that halve as the size doubles, with as much scatter in each cell."""
    cells = {n: at(round(81_000 / n), round(100_000 / n), round(123_457 / n)) for n in (50, 100, 200)} | {25: [NEVER]}
    one = judged(make_pairs, cells, POWER)
    assert one.effect.estimate.low == pytest.approx(-1, abs=0.1)
    assert one.sentence == (
        "Supported over 4 cells: the exponent of the grokking step as a power of train_size is −1.06 (95 % interval "
        "−1.32 to −0.84; 10 of 10 runs; 1 of 10 never grokked); claimed: at most −0.5."
    )


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({100: at(500), 200: at(400)}, "2 runs in 2 cells, and a power law needs 3 in 2"),
        ({100: at(*[500] * 6), 200: [{}] * 6}, "6 runs in 1 cell, and a power law needs 3 in 2"),
        ({100: [NEVER] * 3, 200: [NEVER] * 3}, "0 of 6 runs grokked, which does not tell an exponent"),
        ({0: at(*[500] * 6), 200: at(*[500] * 6)}, "a power law needs positive values, and train_size is 0"),
    ],
)
def test_power_laws_that_cannot_be_judged(make_pairs, cells, reason):
    """The reason is a sentence."""
    assert judged(make_pairs, cells, POWER).sentence == f"Not judged over 2 cells: {reason}."


GROWING = {
    100: [NEVER] * 6,
    200: [*at(3000), *[NEVER] * 5],
    400: at(*[1000] * 5, 3000),
    800: at(*[1000] * 6),
    1600: at(*[1000] * 6),
}


@pytest.mark.parametrize(
    ("cells", "claim", "expected"),
    [
        (GROWING, SIZE, "supported"),
        (GROWING, {"kind": "threshold", "min": 100}, "supported"),
        (GROWING, {"kind": "threshold", "min": 500}, "refuted"),
        (GROWING, {"kind": "threshold", "min": 150}, "inconclusive"),
        (GROWING, SIZE | {"budget": 2000}, "inconclusive"),  # of six seeds the last decides: up to 800
        (GROWING, SIZE | {"budget": 500}, "refuted"),  # nothing groks so soon
        ({size: pairs[:5] for size, pairs in GROWING.items()}, SIZE, "inconclusive"),
        (GROWING | {1600: [DIVERGED] * 6}, SIZE, "inconclusive"),
    ],
)
def test_threshold(make_pairs, cells, claim, expected):
    """The pool on which half of the seeds grok, between 200 and 400, against bounds on it."""
    assert judged(make_pairs, cells, claim).verdict == expected


def test_threshold_by_hand(make_pairs):
    """One seed groks between 100 and 200, four between 200 and 400; by step 2,000 one only between 400 and 800."""
    assert judged(make_pairs, GROWING, SIZE).sentence == (
        "Supported over 5 cells: the pool on which half of the seeds grok is between 200 and 400 (95 % interval "
        "100 to 400; 6 of 6 seeds; 19 of 30 runs grokked); claimed: at most 500."
    )
    one = judged(make_pairs, GROWING, {"kind": "threshold", "min": 2000, "budget": 500})
    assert one.sentence == (
        "Inconclusive over 5 cells: the pool on which half of the seeds grok by step 500 is more than 1,600 (95 % "
        "interval at least 1,600; 6 of 6 seeds; 0 of 30 runs grokked); claimed: at least 2,000."
    )


def test_a_seed_that_falls_back_widens_the_threshold(make_pairs):
    """Its pools from the first success to the last failure say nothing."""
    cells = GROWING | {800: [*at(*[1000] * 5), NEVER]}
    assert judged(make_pairs, cells, SIZE).effect.interval == (100, 1600)


@pytest.mark.parametrize(
    ("cells", "changed", "reason"),
    [
        ({100: [NEVER] * 2, 200: at(1000, 1000)}, {}, "2 seeds, and a 95 % interval of a threshold needs 6"),
        ({100: [NEVER] * 6, 200: [{}] * 6}, {}, "1 size with a run that measures it"),
        (
            {100: [NEVER] * 6, 200: at(*[1000] * 6)},
            {"budget": 5000},
            "what would have come by step 5,000 is not known: 6 of 12 runs ended before, at step 4,000 the first",
        ),
        (
            {100: at(*[1000] * 6), 200: [NEVER] * 6},
            {},
            "6 of 12 runs grokked, which does not tell the threshold",
        ),
    ],
)
def test_thresholds_that_cannot_be_judged(make_pairs, cells, changed, reason):
    """The reason is a sentence."""
    assert judged(make_pairs, cells, SIZE | changed).sentence == f"Not judged over 2 cells: {reason}."


def levels(make_pairs, claim, gaps, tilt=0.01, **pair):
    """Cells whose ideal error rises by ``tilt`` from one to the next, and whose real one ends above it by gaps."""
    cells = {
        100 + place: [{"stopping": 20, "differences": [0, 0, 0, gap]} | pair] * 3 for place, gap in enumerate(gaps)
    }
    comparison = study(make_pairs, cells, claim)
    errors = ["test_error", "test_soft_error"]
    rows = comparison.evaluations.copy()
    place = rows["run_id"].str.split("-").str[1].astype(int) - 100
    rows[errors] += tilt * place.to_numpy(dtype=float)[:, None]
    return judge(replace(comparison, evaluations=rows))[0]


@pytest.mark.parametrize(
    ("gaps", "claim", "expected"),
    [
        ([0.02] * 8, RANKS, "supported"),
        ([0.02 * (8 - place) for place in range(8)], RANKS, "refuted"),
        ([0.02 * (place % 3) for place in range(8)], RANKS, "inconclusive"),
        ([0.02 * (8 - place) for place in range(8)], RANKS | {"at": "stopping"}, "supported"),
        ([0.02] * 4, RANKS, "inconclusive"),
    ],
)
def test_rank_agreement(make_pairs, gaps, claim, expected):
    """The cells' real errors in the order of their ideal ones, in the opposite one, and in neither."""
    assert levels(make_pairs, claim, gaps).verdict == expected


def test_rank_agreement_by_hand(make_pairs):
    """Two of fifteen pairs of cells are the other way round."""
    assert levels(make_pairs, RANKS | {"min_tau": 0.0}, [0.0, 0.025, 0.0, 0.0, 0.0, 0.0]).sentence == (
        "Supported over 6 cells: the rank agreement (tau) of the real with the ideal test error at the last common "
        "step is 0.73 (95 % interval 0.02 to 0.95; 6 of 6 cells); claimed: at least 0."
    )


@pytest.mark.parametrize(
    ("gaps", "changed", "tilt", "reason"),
    [
        ([0.02] * 4, {}, 0.01, "4 cells with a value there, and an interval of a rank agreement needs 5"),
        ([0.02] * 6, {"status": "failed"}, 0.01,
         "0 cells with a value there, and an interval of a rank agreement needs 5"),
        ([0.01, 0.02, 0.03, 0.04, 0.05], {}, 0.0, "one of the errors is the same in all 5 cells"),
    ],
)  # fmt: skip
def test_rank_agreement_that_cannot_be_judged(make_pairs, gaps, changed, tilt, reason):
    """The reason is a sentence."""
    one = levels(make_pairs, RANKS, gaps, tilt, **changed)
    assert one.sentence == f"Not judged over {len(gaps)} cells: {reason}."


@pytest.mark.parametrize(
    ("gaps", "claim", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.02], PREDICTS, "supported"),
        ([0.11, 0.12, 0.13, 0.12], PREDICTS, "refuted"),
        ([0.01, 0.02, 0.09, 0.02], PREDICTS, "inconclusive"),
        ([0.06, -0.06, 0.05, -0.05, 0.06, -0.06], PREDICTS, "refuted"),
        ([0.06, -0.06, 0.05, -0.05, 0.06, -0.06], PREDICTS | {"signed": True, "max_error": 0.1}, "supported"),
        ([0.11, 0.12, 0.13, 0.12], PREDICTS | {"signed": True}, "refuted"),
    ],
)
def test_predicts(make_pairs, gaps, claim, expected):
    """The final real error is above the ideal one at the stopping step by the gaps."""
    assert levels(make_pairs, claim, gaps).verdict == expected


def test_predicts_by_hand(make_pairs):
    """The t interval of 0.01, 0.02 and 0.03, cut at 0."""
    assert levels(make_pairs, PREDICTS, [0.01, 0.02, 0.03]).sentence == (
        "Supported over 3 cells: the mean absolute error with which the ideal test error at the stopping step predicts "
        "the final real one is 0.020 (95 % interval 0.000 to 0.045; 3 of 3 cells); claimed: at most 0.05."
    )


def test_predicts_counts_cells_that_never_stop(make_pairs):
    """Without a stopping step there is no prediction."""
    cells = {size: [{"stopping": 20}] * 2 for size in (100, 200, 300)} | {400: [{}] * 2}
    one = judged(make_pairs, cells, PREDICTS)
    assert (one.effect.n, one.effect.note) == (3, "1 of 4 without both values; 2 of 8 pairs without both values")
    one = judged(make_pairs, {100: [{"stopping": 20}], 200: [{}]}, PREDICTS)
    assert one.sentence == "Not judged over 2 cells: 1 cell with both values, and a t interval needs 3."


SOON = {"differences": [0, 0, -0.3, -0.3]}  # right from step 20 on; others never; all fit the pool at step 0


@pytest.mark.parametrize(
    ("pairs", "claim", "expected"),
    [
        ([SOON] * 6, PROFILE, "supported"),
        ([{}] * 6, PROFILE, "refuted"),
        ([SOON] * 3 + [{}] * 3, PROFILE, "inconclusive"),
        ([SOON] * 6, PROFILE | {"outcome": "grokking", "max_rate": 0.5, "min_rate": 0.0}, "supported"),
        ([SOON] * 6, PROFILE | {"outcome": "grokking", "settings": {"min_delay": 20}}, "supported"),
        ([{}] * 6, PROFILE | {"outcome": "memorisation"}, "supported"),
        ([{"status": "diverged"}] * 6, PROFILE | {"outcome": "memorisation"}, "refuted"),
        ([SOON] * 6, PROFILE | {"classifier": "pair", "outcome": "high train loss"}, "supported"),
        ([SOON] * 5, PROFILE, "inconclusive"),
    ],
)
def test_outcome_profile(make_pairs, pairs, claim, expected):
    """The share of runs in a class against a bound on it."""
    assert judged(make_pairs, {100: pairs, 200: pairs}, claim).verdict == expected


def test_outcome_profile_by_hand(make_pairs):
    """Twelve runs of six seeds count as six, since the runs of a seed are not independent."""
    one = judged(make_pairs, {100: [SOON] * 6, 200: [SOON] * 5 + [{"status": "diverged"}]}, PROFILE)
    assert one.sentence == (
        "Inconclusive over 2 cells: the share of runs that end as “comprehension” (Liu's classes) is 0.92 (95 % "
        "interval 0.39 to 1.00; 12 of 12 runs; share: 11 of 12, in 6 seeds; 1 of 12 diverged); claimed: at least 0.5."
    )


def test_the_outcomes_of_one_cell_are_a_profile(make_pairs):
    """Nothing is compared there, so that one cell is enough; none is not."""
    cells = {100: [SOON] * 6, 200: [{}] * 6}
    one = judged(make_pairs, cells, PROFILE | {"where": {"train_size": 100}})
    assert (one.verdict, one.cell, one.effect.estimate) == ("supported", "over 1 cell", Bounds(1, 1))
    assert judged(make_pairs, cells, PROFILE | {"where": {"train_size": 5}}).sentence.startswith("Not judged: no cell")


def test_outcome_profile_of_a_world_that_measures_nothing(make_pairs):
    """Ideal runs have no train errors, and these no online ones."""
    one = judged(make_pairs, {100: [SOON] * 6, 200: [SOON] * 6}, PROFILE | {"world": "ideal"})
    assert one.sentence == "Not judged over 2 cells: no run measures it."


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            {key: RATIO[key] for key in ("kind", "of", "to")},
            "claim `ratio` needs a bound on the ratio, got none. Give `min_ratio`, `max_ratio` or both.",
        ),
        (
            RATIO | {"max_ratio": 2.0},
            "claim `ratio` needs `min_ratio` to be at most `max_ratio`, got 3 and 2. Exchange them.",
        ),
        (
            {"kind": "power_law", "over": "train_size"},
            "claim `power_law` needs a bound on the slope, got none. Give `min_slope`, `max_slope` or both.",
        ),
        (
            {"kind": "threshold"},
            "claim `threshold` needs a bound on the size, got none. Give `min`, `max` or both.",
        ),
        (
            {"kind": "outcome_profile", "classifier": "liu", "outcome": "grokking"},
            "claim `outcome_profile` needs a bound on the share, got none. Give `min_rate`, `max_rate` or both.",
        ),
        (
            PROFILE | {"outcome": "groking"},
            "claim `outcome_profile`: classifier 'liu' has no outcome 'groking'. Did you mean 'grokking'? Known: "
            "comprehension, grokking, memorisation, confusion.",
        ),
        (
            PROFILE | {"settings": {"delay": 1}},
            "classifier 'liu' has no setting 'delay'. Did you mean 'min_delay'? Known: accuracy, min_delay.",
        ),
        (
            FALLS | {"direction": "down"},
            "claim of kind 'trend': `direction`: Input should be 'rises' or 'falls'. See `deepboot list claims`.",
        ),
        (
            RANKS | {"min_tau": 2},
            "claim of kind 'rank_agreement': `min_tau`: Input should be less than or equal to 1. See `deepboot list "
            "claims`.",
        ),
    ],
)
def test_mistakes_in_claims(make_pairs, claim, message):
    """Found before the first run, and said in one sentence."""
    for found in (lambda: fewest_seeds([claim]), lambda: judged(make_pairs, CELLS, claim)):
        with pytest.raises(ValueError) as error:  # noqa: PT011  the whole message is compared
            found()
        assert str(error.value) == message


def across(make_pairs, sizes, seeds):
    """Cells to be filled with steps by `filled`, whose real runs come by size, then by seed."""
    comparison = study(make_pairs, {size: [NEVER] * seeds for size in sizes}, RATIO)
    cells = comparison.cells()
    return Across(comparison, cells[cells["world"] == "real"].reset_index(drop=True), 0.95)


def filled(empty, steps, evaluations=40, budget=4000):
    """The same cells with these grokking steps, seen by evaluations that are even on the log axis."""
    grid = np.concatenate([[0], np.unique(np.geomspace(1, 50_000, evaluations).round()), [math.inf]])
    place = np.searchsorted(grid, steps.ravel())
    beyond = grid[place] > budget
    runs, real = empty.comparison.runs.copy(), empty.comparison.runs["world"] == "real"
    runs.loc[real, "grokking_low"] = np.minimum(grid[place - 1], grid[grid <= budget].max()).astype(int)
    runs.loc[real, "grokking_high"] = np.where(beyond, np.nan, grid[place])
    return replace(empty, comparison=replace(empty.comparison, runs=runs))


def false_support(kind, studies, record_property, **claim):
    """Assert that a claim on the boundary of its null is supported in at most 2.5 % of studies, and 3 errors."""
    found = [kind(one, **claim).verdict for one in studies]
    rate = found.count("supported") / len(found)
    record_property("rate", rate)
    assert rate <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / len(found))


@pytest.mark.slow
@pytest.mark.parametrize("evaluations", [40, 2_000])
@pytest.mark.parametrize("seeds", [6, 12])
def test_a_ratio_on_the_bound_is_not_supported(make_pairs, seeds, evaluations, record_property):
    """Of 400 studies in which one group is twice as late, some runs censored, at most 2.5 % claim more."""
    random, empty = np.random.default_rng(seeds), across(make_pairs, (100, 400), seeds)
    groups = np.array([[2.0], [1.0]]) * 1_000
    steps = (groups * np.exp(random.normal(0, 0.5, (2, seeds)) + random.normal(0, 0.5, seeds)) for _ in range(400))
    studies = [filled(empty, one, evaluations) for one in steps]
    arms_of = {"of": {"train_size": 100}, "to": {"train_size": 400}}
    false_support(ratio, studies, record_property, **arms_of, min_ratio=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("seeds", [2, 4, 8])
def test_a_trend_that_is_none_is_not_supported(make_pairs, seeds, shared, record_property):
    """Of 400 studies of three sizes without a trend, some runs censored, at most 2.5 % claim one."""
    random, empty = np.random.default_rng(seeds), across(make_pairs, (100, 200, 400), seeds)
    scatter = (random.normal(0, 0.5, (3, seeds)) + random.normal(0, 1, seeds) * shared for _ in range(400))
    studies = [filled(empty, 2_500 * np.exp(one)) for one in scatter]
    false_support(trend, studies, record_property, over="train_size", direction="rises")


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.3])
@pytest.mark.parametrize("seeds", [2, 4, 8])
def test_an_exponent_on_the_bound_is_not_supported(make_pairs, seeds, shared, record_property):
    """Of 200 studies of three sizes with an exponent of −1, some runs censored, at most 2.5 % claim less."""
    random, sizes = np.random.default_rng(seeds), np.array([[100.0], [200.0], [400.0]])
    empty = across(make_pairs, (100, 200, 400), seeds)
    scatter = (random.normal(0, 0.3, (3, seeds)) + random.normal(0, 1, seeds) * shared for _ in range(200))
    studies = [filled(empty, 3e5 / sizes * np.exp(one)) for one in scatter]
    false_support(power_law, studies, record_property, over="train_size", max_slope=-1.0)


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("seeds", [6, 12])
def test_a_threshold_on_the_bound_is_not_supported(make_pairs, seeds, nested, record_property):
    """Of 300 studies at most 2.5 % claim a smaller pool, whether a seed's pools agree or are drawn each on its own."""
    random, sizes = np.random.default_rng(seeds), np.geomspace(400, 1_500, 13).round()
    empty, studies = across(make_pairs, sizes.astype(int).tolist(), seeds), []
    for _ in range(300):
        needed = 800 * np.exp(random.normal(0, 0.25, (1 if nested else sizes.size, seeds)))
        studies.append(filled(empty, np.where(needed <= sizes[:, None], 1_000.0, 5_000.0)))
    false_support(threshold, studies, record_property, max=799.0)


def test_the_kinds_say_what_they_claim():
    """The first line of each docstring is one sentence."""
    for kind in (ratio, monotone, trend, power_law, threshold, rank_agreement, predicts, outcome_profile):
        assert kind.__doc__.split("\n")[0].endswith(".")
