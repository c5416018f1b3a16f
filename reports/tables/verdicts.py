"""Verdicts in words and numbers: as tables of a report, as lines for a terminal, and for JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.explain.evidence import evidence_of
from deepboot.reports.claims.family import MOST_TESTED, Case, counts
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.p_values import p_value
from deepboot.reports.tables.table import Table
from deepboot.reports.text import count, percent, plural


def flags(judgement: Judgement) -> str:
    """Whether a claim is primary, withdrawn and post hoc, in words."""
    marks = {"primary": judgement.primary, "withdrawn": judgement.withdrawn, "post hoc": judgement.post_hoc}
    return ", ".join(mark for mark, holds in marks.items() if holds)


def changed(case: Case) -> str:
    """Differences from the registration, in a sentence; empty if there are none."""
    differences = "; ".join(case.first.changed)
    return f"Post hoc: {differences}." if differences else ""


def tally(case: Case) -> str:
    """How many cells support and refute a claim that selects several, and whether one cell was not certain enough."""
    numbers = Counter(one.verdict for one in case.judgements)
    counts = ", ".join(f"{verdict} in {numbers[verdict]}" for verdict in ("supported", "refuted", "inconclusive"))
    claimed = f"claimed for {case.quantifier} of {len(case.judgements)} cells"
    return f"{case.overall.capitalize()}: {claimed}; {counts}.{_needed_confidence(case, numbers)}"


def _needed_confidence(case: Case, numbers: Counter[Verdict]) -> str:
    """The confidence that one cell needs to decide a claim, where none that would decide it has it."""
    decisive: Verdict = "refuted" if case.quantifier == "all" else "supported"
    if case.overall == decisive or not numbers[decisive]:
        return ""
    confidence = 1 - (1 - case.first.confidence) / len(case.judgements)
    return f" That one cell {'refutes' if decisive == 'refuted' else 'supports'} it takes {percent(confidence)}."


def together(cases: Sequence[Case]) -> Table:
    """Every claim once: its verdict over all cells, and its p value, alone and adjusted for the others."""
    rows: list[tuple[str, ...]] = [
        (
            count(case.first.number),
            case.first.title,
            f"{case.quantifier} of {len(case.judgements)}" if len(case.judgements) > 1 else "",
            case.overall,
            case.significance.towards if case.significance.towards != case.overall else "",
            case.significance.text,
            p_value(case.holm) if case.family[1] > 1 else "",
            p_value(case.benjamini_hochberg) if case.family[1] > 1 else "",
            flags(case.first),
        )
        for case in cases
    ]
    columns = ("#", "claim", "cells", "verdict", "p for", "p", "Holm", "BH", "note")
    note = (
        "p: the smallest error (one minus the confidence) at which the verdict would still be reached; of an "
        "inconclusive claim, the verdict to which the estimate points. "
    )
    if cases and cases[0].family[1] > 1:
        name, size = cases[0].family
        of = f"the {plural(size, 'primary claim')}" if name == "primary" else f"all {size} claims"
        note += f"Holm, BH (Benjamini–Hochberg): adjusted over {of}. "
    if any(len(case.judgements) > 1 for case in cases):
        note += (
            "Over cells: one cell that refutes “all”, or supports “any”, must do so at the error divided by the number "
            "of cells, and p is multiplied by it; for “all” supported or “any” refuted every cell is needed, and the "
            "largest p counts."
        )
    return Table("All claims together", columns, rows, frozenset(("p", "Holm", "BH")), note.strip()).filled


def verdicts(judgements: Sequence[Judgement]) -> Table:
    """Every claim in every cell that it selects, with p values where these are few."""
    rows: list[tuple[str, ...]] = []
    cells, named = Counter(one.number for one in judgements), 0
    for one in judgements:
        effect = one.effect
        rows.append(
            (
                count(one.number),
                one.title if one.number != named else "",
                one.cell or "–",
                one.verdict,
                effect.estimate_text if effect else "–",
                effect.interval_text if effect else "no interval",
                effect.count_text if effect else "0",
                effect.claimed_text if effect else "–",
                one.significance.text if cells[one.number] <= MOST_TESTED else "",
                "; ".join(filter(None, (flags(one), one.reason, effect.note if effect else ""))),
            )
        )
        named = one.number
    numbers = frozenset(("estimate", "interval", "n", "claimed", "p"))
    columns = ("#", "claim", "cell", "verdict", "estimate", "interval", "n", "claimed", "p", "note")
    few = f"p in a single cell is given for claims over at most {MOST_TESTED} cells."
    note = few if any(n > MOST_TESTED for n in cells.values()) else ""
    return Table("Every claim in every cell", columns, rows, numbers, note).filled


def lines(cases: Sequence[Case]) -> Iterator[str]:
    """Lines for a terminal: every judgement with its sentence and the claim's p values, then how many are supported."""
    for case in cases:
        several = len(case.judgements) > 1
        for one in case.judgements:
            yield f"{one.verdict:12} {one.title}"
            in_cell = case.significance_of(one) if several else None
            yield f"{'':12} {one.sentence}{f' p = {in_cell.text}.' if in_cell else ''}"
        if several:
            yield f"{case.overall:12} {case.first.title}"
            yield f"{'':12} {tally(case)}"
        yield f"{'':12} {_p_line(case)}"
    if cases:
        yield f"{counts(cases)}."


def _p_line(case: Case) -> str:
    significance, (name, size) = case.significance, case.family
    if significance.p is None:
        return "p: none, the estimate points to neither verdict"
    towards = f" for “{significance.towards}”" if significance.towards != case.overall else ""
    holm, adjusted = p_value(case.holm), p_value(case.benjamini_hochberg)
    among = f"all {size} claims" if name == "all" else plural(size, "primary claim")
    return f"p = {significance.text}{towards}" + (
        f"; Holm {holm}, BH {adjusted} over {among}" if case.holm and size > 1 else ""
    )


def as_dicts(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """For JSON: every judgement with its p values, its claim's p values, and its evidence."""
    return [
        one.as_dict() | case.as_dict(one) | {"grounds": evidence_of(case, one).as_dict()}
        for case in cases
        for one in case.judgements
    ]
