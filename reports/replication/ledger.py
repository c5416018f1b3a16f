"""The ledger: every published number of a study beside the study's own, which a kind of claim measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepboot.bootstrap.study.schema import Published
from deepboot.reports.claims.judge import judge_in_cells
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Quantity, traits_of
from deepboot.reports.claims.registration import studies
from deepboot.reports.comparison import Comparison
from deepboot.reports.replication.published import bounds_of, entry_of
from deepboot.reports.replication.verdict import Outcome, outcome_of


@dataclass(frozen=True)
class Replication:
    """A published number and ours, in one cell or over several.

    Attributes:
        entry: the published number.
        judgement: our estimate, as the kind of claim measures it; what it says about a claim has no meaning here.
        outcome: the verdict on the two.
        folder: of the study, where several are compared; else empty.
    """

    entry: Published
    judgement: Judgement
    outcome: Outcome
    folder: str = ""

    @property
    def quantity(self) -> str:
        """The quantity in words, and its cell where it was measured in one of several."""
        effect, cell = self.judgement.effect, self.judgement.cell
        name = effect.name if effect else self.entry.quantity.replace("_", " ")
        return name if cell in (None, "real", "ideal") or self.judgement.cell_id is None else f"{name}, {cell}"

    @property
    def estimate(self) -> str:
        """Our estimate and its interval: "11.2 (9.8 to 13.1)"."""
        effect = self.judgement.effect
        return f"{effect.estimate_text} ({effect.interval_text})" if effect else "unknown"

    @property
    def counted(self) -> str:
        """The known runs, pairs, seeds or cells of all: "8 of 8"."""
        return self.judgement.effect.count_text if self.judgement.effect else "0 of 0"

    @property
    def ours(self) -> str:
        """Estimate, interval, number and verdict, as a study may keep them under ``ours``."""
        return f"{self.estimate}, {self.counted}, {self.outcome}"

    @property
    def reason(self) -> str:
        """Why there is no interval, and how runs are missing; empty where nothing is to be said."""
        effect = self.judgement.effect
        return "; ".join(filter(None, (self.judgement.reason, effect.note if effect else "")))


def replications(comparison: Comparison) -> list[Replication]:
    """Every published number of every study in every cell that it selects, in the studies' order.

    Raises:
        ValueError: an entry that cannot be read, or of a kind whose estimate is no number by itself.
    """
    return [
        _replication(raw, judgement, folder)
        for folder, part in studies(comparison).items()
        for number, raw in enumerate(part.sources[0].study.get("published") or [], start=1)
        for judgement in judge_in_cells(part, as_claim(raw), number)
    ]


def _replication(raw: Mapping[str, Any], judgement: Judgement, folder: str) -> Replication:
    entry = entry_of(raw)
    no_effect = quantity_of(entry.quantity).no_effect_of(judgement.settings)
    outcome = outcome_of(judgement.effect, bounds_of(entry), evidence=entry.evidence, no_effect=no_effect)
    return Replication(entry, judgement, outcome, folder)


def quantity_of(kind: str) -> Quantity:
    """What a kind of claim measures whatever is claimed.

    Raises:
        ValueError: its estimate cannot stand beside a number.
    """
    quantity = traits_of(kind).quantity
    if quantity is None:
        raise ValueError(f"the kind {kind} measures nothing that can stand beside a number.")
    return quantity


def as_claim(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The claim whose estimate is the quantity of a published number.

    Raises:
        ValueError: as `quantity_of` and `entry_of`.
    """
    entry = entry_of(raw)
    given = {name: value for name, value in raw.items() if name not in Published.model_fields}
    common = {"kind": entry.quantity, "where": entry.where, "confidence": entry.confidence, "text": entry.text}
    return {**common, **quantity_of(entry.quantity).bounds, **given}
