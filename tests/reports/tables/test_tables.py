"""The tables beside the main ones: of both worlds, of times, of tasks."""

from dataclasses import replace

import pytest

from deepboot.reports import compare
from deepboot.reports.tables import across_tasks, pairing, time_to_event
from deepboot.reports.tables.table import Table

WORLDS = [pairing.pairing, pairing.noise, pairing.gap_shares, pairing.predictions]
TIMES = [getattr(time_to_event, name) for name in ("means", "time_ratios", "ratios", "equality", "incidence")]
EVERY = [*WORLDS, *TIMES, across_tasks.tasks, across_tasks.profiles]
SAME = {"grokking": (10, 20), "ideal_grokking": (10, 20), "stopping": 20}


def only(results, world):
    """The runs of one world."""
    return replace(results, runs=results.runs[results.runs["world"] == world])


def renamed(results, task):
    """The same runs as another task's."""
    runs, evaluations = results.runs.copy(), results.evaluations.copy()
    for name in ("run_id", "ideal_run_id", "cell_id"):
        runs[name] = f"{task}-" + runs[name]
    evaluations["run_id"] = f"{task}-" + evaluations["run_id"]
    return replace(results, runs=runs.assign(task=task), evaluations=evaluations)


def column(table, name):
    """Cells of one column; empty ones where the table has left it out."""
    if name not in table.columns:
        return [""] * len(table.rows)
    return [row[table.columns.index(name)] for row in table.rows]


@pytest.fixture(scope="module")
def scenarios(make_results, make_pairs):
    """Comparisons by what is odd about them."""
    sizes = {"train_sizes": (500, 750, 1_500)}
    several = make_results(seeds=6, **sizes)
    return {
        "usual": compare(several),
        "one seed": compare(make_results(seeds=1)),
        "two seeds": compare(make_results(seeds=2, train_sizes=(500, 750))),
        "all censored": compare(make_results(seeds=6, censored=range(6), **sizes)),
        "all diverged": compare(make_results(seeds=6, diverged=range(6), **sizes)),
        "all failed": compare(make_results(seeds=3, failed=range(3))),
        "some of each": compare(make_results(seeds=8, censored=(1,), diverged=(2,), failed=(3,))),
        "no pairs": compare(only(several, "real")),
        "ideal only": compare(only(several, "ideal")),
        "identical worlds": compare(make_pairs([SAME] * 7)),
        "no facts": compare(make_results(seeds=4, facts=False)),
        "several metrics": compare([make_results(seeds=4), renamed(make_results(seeds=4, loss="mse"), "addition")]),
    }


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_every_table_of_every_scenario(scenarios, make):
    """Rows as wide as the headings, all text, no bare NaN, and a note where there are rows."""
    for comparison in scenarios.values():
        table = make(comparison)
        assert isinstance(table, Table)
        assert table.title
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(isinstance(cell, str) for cell in row)
            assert not {"nan", "inf", "None", "<NA>"} & set(" ".join(row).replace(",", " ").replace(";", " ").split())
        assert table.note or not table.rows
        assert table.numbers >= set(table.columns) & {"n", "pairs", "95 % interval"}


def test_tables_stay_away_where_they_do_not_apply(scenarios):
    """No pairs, no event in two cells, no broken run, one task, no size of a test set: no rows."""
    counts = {name: {make.__name__: len(make(one).rows) for make in EVERY} for name, one in scenarios.items()}
    assert [counts["ideal only"][make.__name__] for make in WORLDS] == [0, 1, 0, 0]
    usual = {"pairing": 3, "noise": 10, "gap_shares": 3, "predictions": 4, "means": 4, "time_ratios": 3, "ratios": 3}
    assert counts["usual"] == usual | {"equality": 2, "incidence": 0, "tasks": 0, "profiles": 0}
    assert counts["no facts"]["noise"] == 0
    assert counts["one seed"]["ratios"] == counts["one seed"]["equality"] == 0
    assert counts["no pairs"]["time_ratios"] == 0
    assert counts["some of each"]["incidence"] == 2
    assert counts["several metrics"]["tasks"] == 3


def test_pairing_says_what_it_saves(make_pairs):
    """Seeds with and without pairing; identical worlds, where nothing varies, compare nothing."""
    results = make_pairs([{"stopping": 20}] * 5)
    for world, slope in (("real", 2.0), ("ideal", 1.9)):
        for seed, error in enumerate((0.1, 0.2, 0.15, 0.3, 0.25)):
            rows = results.evaluations["run_id"] == f"{world}-a-{seed}"
            results.evaluations.loc[rows, "test_soft_error"] = slope * error
    table = pairing.pairing(compare(results))
    assert column(table, "correlation") == ["1.00", "1.00"]
    assert all(cell.endswith(" instead of 5") for cell in column(table, "seeds without pairing"))
    same = pairing.pairing(compare(make_pairs([SAME] * 7)))
    assert column(same, "note") == ["neither world varies over seeds: nothing to compare"] * 2
    assert "seeds without pairing" not in same.columns


def test_noise_says_which_is_larger(make_results, make_pairs):
    """These curves vary less than binomial errors do at the stopping step; at the end no label is wrong."""
    table = pairing.noise(compare(make_results(seeds=6, evaluations=30)))
    assert column(table, "larger source") == ["test set", "test set", "–", "–"]
    assert column(table, "note")[3] == "no wrong label: a true error up to 0.0018 cannot be told from 0"
    assert set(column(table, "test samples")) == {"2,000"}
    spread = [{"stopping": 20, "differences": [0.0, 0.0, error, error]} for error in (0.1, -0.1, 0.3, -0.2)]
    facts = {"facts.test_size": 400, "training.streams.test": 1}
    wide = pairing.noise(compare(make_pairs(spread, **facts)))
    assert column(wide, "larger source") == ["seeds", "–", "seeds", "–"]
    assert column(wide, "note") == ["one test set for all seeds: its noise shifts them together"] * 4
    whole = pairing.noise(compare(make_pairs(spread, **facts, **{"facts.universe_size": 400})))
    assert column(whole, "noise of the test set") == ["none"] * 4
    assert column(whole, "larger source")[0] == "seeds"
    assert column(whole, "note")[0].startswith("the whole universe is tested")


def test_explained_leaves_out_gaps_of_nothing(scenarios):
    """At the end of runs that grokked there is no gap, and the note counts the cells."""
    table = pairing.gap_shares(scenarios["usual"])
    assert set(column(table, "at the")) == {"stopping step"}
    assert table.note.endswith(" Left out, where the gap is below 0.001: at the end in 3 cells.")


def test_predictions_end_with_all_cells(scenarios):
    """Per cell and over cells; metrics apart."""
    assert column(pairing.predictions(scenarios["usual"]), "cell")[-1] == "all cells"
    assert column(pairing.predictions(scenarios["usual"]), "n")[-2:] == ["6 of 6 pairs", "3 of 3 cells"]
    assert column(pairing.predictions(scenarios["all diverged"]), "note")[0] == "6 of 6 without both values"


def test_means_say_how_runs_get_there(scenarios):
    """Sigmoid curves drift; runs that never got there count as the budget."""
    usual = time_to_event.means(scenarios["usual"])
    assert usual.title == "Mean grokking step up to step 4,000, and shape"
    assert column(usual, "kind") == ["drift"] * 4
    assert column(usual, "grokked by then") == ["6 of 6"] * 4
    censored = time_to_event.means(scenarios["all censored"])
    assert column(censored, "mean step")[1:] == ["4,000"] * 3
    assert column(censored, "note")[1:] == ["no shape: no run reached the event"] * 3
    some = time_to_event.means(scenarios["some of each"])
    assert column(some, "note")[1] == "2 of 8 diverged or failed: counted as 4,000, and no shape"
    assert column(time_to_event.means(scenarios["one seed"]), "note") == ["1 run: no interval"] * 2


def test_ratios_begin_with_the_reference(scenarios):
    """A reference row of 1; few pairs have no interval and a smallest p value; unknown ratios are open."""
    usual = time_to_event.ratios(scenarios["usual"])
    assert usual.rows[0] == ("train_size 500", "", "1", "", "", "", "reference")
    assert column(usual, "seeds")[1:] == ["6", "6"]
    two = time_to_event.ratios(scenarios["two seeds"])
    assert two.rows[1][-3:] == ("none", "0.5", "2 pairs: no interval, and p is at least 0.5")
    censored = time_to_event.ratios(scenarios["all censored"])
    assert censored.rows[1][2:] == ("unknown", "anything", "1", "6 of 6 with a run that never grokked")


def test_slowdowns_of_runs_that_never_got_there(scenarios):
    """Censored: at least so many times; diverged: never; one pair: nothing but its ratio."""
    assert all(row[2].startswith("more than") for row in time_to_event.time_ratios(scenarios["all censored"]).rows)
    (row, *_) = time_to_event.time_ratios(scenarios["all diverged"]).rows
    assert row[2:4] == ("∞", "∞")
    (single,) = time_to_event.time_ratios(scenarios["one seed"]).rows
    assert single[-2:] == ("none", "1 pair: neither interval nor test")


def test_alike_gives_trend_and_exponent(scenarios):
    """Larger pools grok sooner, by a negative power."""
    table = time_to_event.equality(scenarios["usual"])
    assert column(table, "test") == ["any difference (log-rank)", "trend over train_size"]
    assert column(table, "as the setting rises") == ["", "sooner"]
    assert column(table, "exponent")[1].startswith("−")


def test_incidence_in_percent(scenarios):
    """Of eight runs one was censored, one diverged and one failed."""
    table = time_to_event.incidence(scenarios["some of each"])
    assert table.rows[1] == ("real", "8", "4,000", "62 % (24 to 91 %)", "25 % (3 to 65 %)", "12 % (0 to 53 %)")


def test_tasks_are_put_together(make_results):
    """Both measures with tasks and seeds, and a profile column per threshold."""
    other = renamed(make_results(seeds=7, diverged=(2,)), "addition")
    comparison = compare([make_results(seeds=6, censored=(0,)), other])
    table = across_tasks.tasks(comparison)
    assert column(table, "measure") == ["bootstrap error", "test error", "test error"]
    assert set(column(table, "tasks")) == {"2"}
    assert set(column(table, "seeds")) == {"6"}
    assert column(table, "note") == ["1 run left out"] * 3
    profile = across_tasks.profiles(comparison)
    assert profile.columns[2:] == ("above 0", "above 0.01", "above 0.1", "above 0.3")
    assert column(profile, "above 0.3")[0].startswith("17 % (")


def test_filled_leaves_out_empty_columns():
    """A column without any text, or of dashes alone, goes with its heading."""
    table = Table("t", ("a", "b", "c"), [("1", "", "–"), ("2", "", "–")], frozenset(("a", "b")), "n").filled
    assert (table.columns, table.rows, table.note) == (("a",), [("1",), ("2",)], "n")
