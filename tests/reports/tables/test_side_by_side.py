"""Two folders side by side as text, and tables as lines of a terminal."""

import pytest

from deepboot.reports import compare
from deepboot.reports.measures.side_by_side import matched_cells
from deepboot.reports.tables import side_by_side, terminal
from deepboot.reports.tables.table import Table

RATE = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.6}


@pytest.fixture
def tables(make_results):
    """Makes both tables of two folders from the arguments of their results."""

    def make(first, second):
        one, other = (compare(make_results(6, evaluations=40, **arguments)) for arguments in (first, second))
        judged = side_by_side.judged_claims(one, other)
        return side_by_side.results(one, other, matched_cells(one, other)), side_by_side.verdicts(judged)

    return make


def test_numbers_of_cells_that_differ_stand_side_by_side(tables):
    """A row each, with how many runs have it; the label once; the other cells are counted."""
    results, _ = tables({}, {"train_sizes": (750, 1500), "censored": (0, 1, 2, 3)})
    first, *_, grokking = results.rows
    assert first[:3] == ("train_size 750", "real", "test error at the end")
    assert first[3].endswith(" (6 of 6)")
    assert grokking[:3] == ("", "", "grokking step")
    assert grokking[3:] == (grokking[3], "> 4,000 (2 of 6)")
    assert results.note.endswith(
        "Cells that compare: 2, of which 1 read the same in both. Without a partner: 1 cell of B."
    )


def test_equal_folders_have_no_rows(tables):
    """Two sentences say so."""
    results, verdicts = tables({"claims": [RATE]}, {"claims": [RATE | {"text": "Most grok."}]})
    assert (results.rows, verdicts.rows) == ([], [])
    assert results.note == "Cells that compare: 2, of which 2 read the same in both."
    assert verdicts.note == "1 claim with the same verdict and estimate in both."


def test_folders_without_a_common_cell_say_so(tables):
    """Neither pool is in the other folder, nor is the decay."""
    results, _ = tables({"decays": (0.1, 0.2)}, {"decays": (0.3, 0.4)})
    assert results.rows == []
    assert results.note.startswith("No two cells compare")


def test_verdicts_stand_side_by_side_with_their_estimates(tables):
    """Of a claim over several cells their number; a claim of one folder is none of the other."""
    _, verdicts = tables(
        {"claims": [RATE, RATE | {"min_rate": 0.9}]},
        {"claims": [RATE], "train_sizes": (750, 1500), "censored": range(6)},
    )
    assert verdicts.rows == [
        ("rate (event grokking, world real, min_rate 0.6)", "inconclusive: 0.83 (0.36 to 1.00)",
         "refuted: refuted in 2"),
        ("rate (event grokking, world real, min_rate 0.9)", "inconclusive: 0.83 (0.36 to 1.00)", "not claimed"),
    ]  # fmt: skip


def test_lines_are_no_wider_than_the_terminal():
    """The widest columns are wrapped, and no word is lost."""
    long = "a sentence that is much longer than the terminal is wide " * 3
    lines = list(terminal.lines(Table("", ("short", "long"), [("x", long), ("y", "z")]), 40))
    assert max(map(len, lines)) == 40
    assert " ".join(" ".join(line[7:] for line in lines[2:-1]).split()) == long.strip()
    assert lines[-1] == "y      z"
