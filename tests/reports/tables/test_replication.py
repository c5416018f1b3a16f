"""Published numbers beside ours, as a table and as lines."""

import dataclasses

from deepboot.reports import compare
from deepboot.reports.replication.ledger import replications
from deepboot.reports.replication.verdict import OUTCOMES
from deepboot.reports.tables.replication import beside_published, lines

LATE = {"memorization": (90, 100), "grokking": (900, 1000)}
DELAY = {"quantity": "grokking_delay", "value": 12.0, "source": "A 2020", "evidence": "solid"}
RATE = {"quantity": "rate", "at_least": 0.5, "source": "B 2021", "evidence": "direction", "unspecified": "the seed",
        "text": "Most runs grok."}  # fmt: skip


def ledger(make_pairs, *entries, runs=6):
    """The ledger of runs that all grok ten times as late as they memorise."""
    results = dataclasses.replace(make_pairs([LATE] * runs), study={"published": list(entries)})
    return replications(compare(results))


def test_a_row_has_both_numbers_and_what_the_paper_leaves_open(make_pairs):
    """Columns that are empty throughout are left out, and every verdict is explained."""
    table = beside_published(ledger(make_pairs, DELAY, RATE))
    assert table.columns == (
        "quantity", "published", "ours", "n", "verdict", "source", "evidence", "left open by the paper", "note",
    )  # fmt: skip
    assert table.rows == [
        ("median ratio of the grokking step to the memorisation step in the real world", "12",
         "about 10.0 (9.0 to 11.1)",
         "6 of 6", "same direction", "A 2020", "solid", "", ""),
        ("share of runs that grok in the real world", "at least 0.5", "1.00 (0.54 to 1.00)", "6 of 6", "agrees",
         "B 2021", "direction", "the seed", "Most runs grok; share: 6 of 6"),
    ]  # fmt: skip
    assert all(f"{word}: " in table.note.lower() for word in OUTCOMES)
    assert beside_published(ledger(make_pairs, DELAY)).columns[-1] == "evidence"


def test_a_line_for_each_number(make_pairs):
    """After a heading; no line without a published number."""
    assert list(lines(ledger(make_pairs))) == []
    assert list(lines(ledger(make_pairs, DELAY, runs=2))) == [
        "Beside the published numbers:",
        "undecided       median ratio of the grokking step to the memorisation step in the real world: published 12, "
        "ours about 10.0 (no interval), 2 of 2; 2 runs, and a 95 % interval of a median needs 6 (A 2020)",
    ]
