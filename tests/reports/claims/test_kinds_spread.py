import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.claims.errors import PlannedRuns, claim_errors
from deepboot.reports.claims.explain.sensitivity import MORE_LEVELS, sensitivity
from deepboot.reports.claims.judge import judge
from deepboot.reports.planning.before_run import prospects
from deepboot.reports.planning.from_pilot import forecasts

DATA, INIT = "training.streams.data", "training.streams.init"
CLAIM = {"kind": "variance_share", "over": DATA, "beside": [INIT], "min_share": 0.5}
EFFECTS = np.array([0.0, 0.5, 1.0, 2.0, 2.5])


def crossed(make_pairs, spread, claim=CLAIM, **more):
    """Runs of five pools and five starts; the log step is the sum of their effects, times these numbers, and noise."""
    random, made = np.random.default_rng(0), []
    for pool in range(5):
        for start in range(5):
            log = spread[0] * EFFECTS[pool] + spread[1] * EFFECTS[start] + random.normal(0, 0.05)
            step = int(500 * np.exp(log))
            pair = {"grokking": (step - 1, step), "ideal_grokking": (step - 1, step)} | more
            made.append(make_pairs([pair], cell=f"{pool}-{start}", claims=[claim], **{DATA: pool, INIT: start}))
    return made


def judged(made):
    """The one judgement over all cells."""
    (one,) = judge(compare(made))
    return one


@pytest.mark.parametrize(("spread", "verdict"), [((1.0, 0.1), "supported"), ((0.1, 1.0), "refuted")])
def test_verdicts(make_pairs, spread, verdict):
    """Pools that differ much and starts that hardly do, and the other way round."""
    one = judged(crossed(make_pairs, spread))
    assert one.verdict == verdict
    assert f"share of {DATA} in the variance of the log grokking step" in one.sentence


def test_more_values_would_settle_it_and_not_more_seeds(make_pairs):
    """Each cell has one seed; a page, a plan and a forecast from a pilot ask for more values of the settings."""
    made = crossed(make_pairs, (1.0, 1.0))
    one = judged(made)
    assert one.verdict == "inconclusive"
    assert sensitivity(one) == [MORE_LEVELS]
    (foreseen,) = forecasts(compare(made))
    expected = "inconclusive with 1 seed: more values of the settings that it names would help, not seeds"
    assert foreseen.sentence == expected
    (planned,) = prospects([CLAIM], 1)
    assert planned.endswith("its interval narrows with more values of the settings that it names")


def test_the_share_is_of_the_order_of_levels_not_of_rows(make_pairs):
    """Rows in any order give the same number."""
    made = crossed(make_pairs, (1.0, 0.4))
    assert judged(made).effect.estimate == judged(made[::-1]).effect.estimate


def test_without_every_step_nothing_is_judged(make_pairs):
    """A run that never grokked has no log step."""
    made = crossed(make_pairs, (1.0, 0.1))
    made[3] = make_pairs([{"grokking": (4_000, None)}], cell="0-3", claims=[CLAIM], **{DATA: 0, INIT: 3})
    one = judged(made)
    assert one.verdict == "inconclusive"
    assert one.effect.reason == "1 of 25 runs have no step, and a variance needs all"


@pytest.mark.parametrize(
    ("claim", "left_out", "reason"),
    [
        (CLAIM, 1, f"24 runs are not one for each of 5 × 5 values of {DATA}, {INIT}"),
        (CLAIM | {"beside": ["training.streams.order"]}, 0, "training.streams.order has no value in some run"),
        (CLAIM | {"beside": [DATA]}, 0, f"a setting is named twice among {DATA}, {DATA}"),
        (CLAIM | {"where": {DATA: 1}}, 0, f"{DATA} has one value in the cells that `where` selects, and needs two"),
    ],
)
def test_cells_that_are_not_crossed_are_refused(make_pairs, claim, left_out, reason):
    """Before anything is trained, and again when it is judged."""
    made = crossed(make_pairs, (1.0, 0.1), claim)[left_out:]
    runs = compare(made).runs.drop(columns=["status", "last_step", "first_reuse_step", "cell", "metric"])
    known = [name for name in runs if name not in ("grokking_low", "grokking_high")]
    (message,) = claim_errors([claim], PlannedRuns.of(runs[known]))
    assert reason in message
    assert judged(made).effect.reason == reason
