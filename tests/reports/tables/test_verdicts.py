import json

import pytest

from deepboot.reports import compare
from deepboot.reports.claims.family import MOST_TESTED, cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.tables.verdicts import as_dicts, lines, tally, together, verdicts

DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
SOON = LATE | {"grokking": (110, 120)}


def beside(make_pairs, cells, claim):
    """The judgements of one claim on cells that differ in their rate."""
    made = [
        make_pairs(pairs, cell=f"c{i}", claims=[claim], **{"optimizer.lr": i + 1.0}) for i, pairs in enumerate(cells)
    ]
    return judge(compare(made))


def test_claims_together_have_adjusted_p_values(make_pairs):
    """One row per claim; the direction is said where the verdict does not say it; the note has the family."""
    claims = [DELAY | {"primary": True}, {"kind": "rate", "min_rate": 0.6, "primary": True}, {"kind": "faster"}]
    table = together(cases(judge(make_pairs([LATE] * 8, claims=claims))))
    assert table.columns == ("#", "claim", "verdict", "p for", "p", "Holm", "BH", "note")
    assert [row[2:7] for row in table.rows] == [
        ("supported", "", "0.0078", "0.016", "0.016"),
        ("inconclusive", "supported", "0.034", "0.034", "0.034"),
        ("supported", "", "0.0078", "–", "–"),
    ]
    assert table.note.endswith("adjusted over the 2 primary claims.")


def test_what_one_cell_takes_is_said(make_pairs):
    """A claim that one cell refutes, but not beyond luck in one of two, says so."""
    (case,) = cases(beside(make_pairs, [[LATE] * 6, [SOON] * 6], DELAY))
    assert tally(case) == (
        "Inconclusive: claimed for all of 2 cells; supported in 1, refuted in 1, inconclusive in 0. That one cell "
        "refutes it takes 97.5 %."
    )
    table = together([case])
    assert "one cell that refutes “all”, or supports “any”, must do so at the error divided by the number" in table.note
    (row,) = table.rows
    assert row[2:6] == ("all of 2", "inconclusive", "refuted", "0.063")


def test_terminal_lines(make_pairs):
    """Each cell with its p value, then the claim over all of them with its own; in the end a count."""
    *found, last = lines(cases(beside(make_pairs, [[LATE] * 7, [SOON] * 7], DELAY)))
    assert last == "0 of 1 claim supported, 1 refuted."
    assert [line.split()[0] for line in found if line[0] != " "] == ["supported", "refuted", "refuted"]
    assert found[1].endswith("claimed: at least 5. p = 0.016.")
    assert found[-1].strip() == "p = 0.031"
    claims = [DELAY, {"kind": "faster"}, {"kind": "rate", "min_rate": 0.5, "where": {"train_size": 5}}]
    *found, last = lines(cases(judge(make_pairs([LATE] * 8, claims=claims))))
    assert last == "2 of 3 claims supported, 1 undecided."
    assert found[2].strip() == "p = 0.0078; Holm 0.023, BH 0.012 over all 3 claims"
    assert found[-1].strip() == "p: none, the estimate points to neither verdict"


def test_json_has_p_values_and_evidence(make_pairs):
    """Everything can be written, with null where there is no p value."""
    claims = [DELAY, {"kind": "rate", "min_rate": 0.5, "where": {"train_size": 5}}]
    first, second = json.loads(
        json.dumps(as_dicts(cases(judge(make_pairs([LATE] * 8, claims=claims)))), allow_nan=False)
    )
    assert first["p"] == first["p_overall"] == pytest.approx(2 / 2**8, rel=0.01)
    assert first["p_holm"] == first["p_bh"] == pytest.approx(4 / 2**8, rel=0.01)
    assert (first["p_towards"], first["family"]) == ("supported", ["all", 2])
    assert set(first["grounds"]) == {"figures", "runs", "compared", "change"}
    assert [second[name] for name in ("p", "p_overall", "p_holm", "p_bh")] == [None] * 4
    assert second["grounds"]["runs"] == []


def test_of_many_cells_only_the_claim_has_a_p_value(make_pairs):
    """Twelve calls for each of hundreds of cells would take longer than the report."""
    judged = beside(make_pairs, [[LATE] * 6] * (MOST_TESTED + 1), DELAY)
    (case,) = cases(judged)
    assert case.significance.p == pytest.approx(2 / 2**6, rel=0.03)
    assert "p" not in verdicts(judged).columns
    assert verdicts(judged).note == "p in a single cell is given for claims over at most 12 cells."
    assert as_dicts([case])[0]["p"] is None
    few = beside(make_pairs, [[LATE] * 6] * 2, DELAY)
    assert "p" in verdicts(few).columns
    assert verdicts(few).note == ""
