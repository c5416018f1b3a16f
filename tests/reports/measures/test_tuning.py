"""The choice among an arm's settings: on tables made by hand, with censored runs, ties and edges."""

import math

import numpy as np
import pytest

from deepboot.reports.comparison import compare
from deepboot.reports.measures.tuning import Trial, choose, trial_of
from deepboot.reports.tables.tuning import trial_table, warnings
from tests.reports.conftest import synthetic

INF = math.inf


def trial(value, *steps):
    """A setting of the learning rate whose runs reached their event exactly at these steps, or never."""
    high = np.array(steps, dtype=float)
    return Trial({"optimizer.lr": value}, np.where(np.isinf(high), 500.0, high), high)


def by_hand(trials):
    """The same rule, in plain Python: every run in its place, those without an event last."""
    scores = []
    for number, one in enumerate(trials):
        steps = sorted(one.high.tolist())
        n = len(steps)
        middle = steps[n // 2] if n % 2 or math.isinf(steps[n // 2]) else (steps[n // 2 - 1] + steps[n // 2]) / 2
        scores.append((-sum(step < INF for step in steps), middle, number))
    return min(scores)[2]


@pytest.mark.parametrize(
    ("trials", "best", "ties"),
    [
        ([trial(1, 90, 90, 90), trial(2, 10, 10, INF)], 0, ()),  # more runs, though slower
        ([trial(1, 90, 90, INF), trial(2, 50, 400, INF)], 0, ()),  # as many: median 90 against 400
        ([trial(1, 30, INF, INF), trial(2, INF, 20, INF)], 0, (1,)),  # the median run of neither gets there
        ([trial(1, 30, 40, 60), trial(2, 10, 40, 70)], 0, (1,)),  # equal medians
        ([trial(1, 40, 60), trial(2, 30, 60)], 1, ()),  # between the middle two: 50 against 45
        ([trial(1, 10, INF), trial(2, INF, 10), trial(3, 50, 60)], 2, ()),
        ([trial(1, INF, INF), trial(2, INF, INF)], 0, (1,)),
        ([trial(1, 7)], 0, ()),
    ],
)
def test_more_runs_come_first_and_then_the_median_over_all_of_them(trials, best, ties):
    """A run that never got there is beyond the budget; the first of equal ones is frozen, and the others are named."""
    choice = choose(trials)
    assert (choice.best, choice.ties) == (best, ties)
    assert by_hand(trials) == best
    assert len(choice.trials) == len(trials)


def test_random_tables_are_chosen_from_as_by_hand():
    """A few hundred tables of four settings and one to five seeds, with ties and censored runs."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        seeds = generator.integers(1, 6)
        steps = generator.choice([10.0, 20.0, 30.0, INF], size=(4, seeds))
        trials = [trial(number, *row) for number, row in enumerate(steps)]
        assert choose(trials).best == by_hand(trials)


def test_the_edge_of_what_was_tried_is_seen_in_every_numeric_parameter():
    """The smallest, the largest; not inside, not of one value, of names or of switches."""

    def at(lr, width, name="a", switch=True, fixed=3, step=50):
        setting = {"lr": lr, "width": width, "name": name, "switch": switch, "fixed": fixed}
        return Trial(setting, np.array([step]), np.array([float(step)]))

    others = [at(0.1, 8, "b", False), at(1.0, 16), at(0.01, 32)]
    assert choose([*others, at(0.01, 16, step=1)]).edges == (("lr", "smallest"),)
    assert choose([*others, at(0.1, 32, step=1)]).edges == (("width", "largest"),)
    assert choose([*others, at(0.1, 16, step=1)]).edges == ()


def test_what_a_choice_leaves_open_is_said():
    """Ties, an edge, and that nothing was reached, where an edge means nothing."""
    tied = choose([trial(1, 30), trial(2, 30), trial(3, 40)])
    assert list(warnings(tied, "grokking")) == [
        "As good, and tried later: optimizer.lr = 2. More tuning seeds would tell them apart.",
        "It has the smallest optimizer.lr that was tried: a better one may lie beyond. Widen its values.",
    ]
    assert list(warnings(choose([trial(1, INF), trial(2, INF)]), "stable")) == [
        "No run grokked for good with any setting, so that the first one is frozen unjudged. Try others, or more steps."
    ]
    assert list(warnings(choose([trial(1, 40), trial(2, 30), trial(3, 40)]), "grokking")) == []


def test_a_table_has_every_setting_and_what_it_reached():
    """In the order in which they were tried, with the frozen one marked."""
    trials = [trial(1, 30, INF, INF), trial(2, 30, 40, INF), trial(3, 10, 40, INF)]
    table = trial_table(choose(trials), "grokking", "samples", 500)
    assert table.rows == [
        ("optimizer.lr = 1", "1 of 3 runs grokked", "> 500", ""),
        ("optimizer.lr = 2", "2 of 3 runs grokked", "40", "frozen"),
        ("optimizer.lr = 3", "2 of 3 runs grokked", "40", "as good"),
    ]
    assert table.note.startswith("Median over tuning seeds of the grokking step, in samples seen.")


def test_what_runs_reached_is_read_from_the_tables():
    """Steps as intervals; a run that never grokked or diverged before counts as neither, and is not left out."""
    comparison = compare(synthetic(seeds=6, censored=(1,), diverged=(2,)))
    runs = comparison.runs[comparison.runs["world"] == "real"].set_index("seed")
    found = trial_of(comparison, {"lr": 1}, runs["run_id"].tolist(), "grokking")
    assert (found.reached, found.high.size) == (4, 6)
    assert np.isinf(found.high[[1, 2]]).all()
    steps = runs.loc[[0, 3, 4, 5], "grokking_high"].sort_values().tolist()
    assert found.median.high == (steps[2] + steps[3]) / 2
    in_samples = trial_of(comparison.over("samples"), {"lr": 1}, runs["run_id"].tolist(), "grokking")
    assert in_samples.median.high == 100 * found.median.high
    error = trial_of(comparison, {"lr": 1}, runs["run_id"].tolist(), "final_error")
    assert (error.reached, error.high[2]) == (5, INF)
    last = comparison.evaluations.groupby("run_id")["test_error"].last()
    assert error.high[0] == last[runs.loc[0, "run_id"]]
