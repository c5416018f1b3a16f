"""One verdict: a claim in one cell or over several, its measured effect, its p value and its sentence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from deepboot.bootstrap.registry import find
from deepboot.bootstrap.study.schema import ClaimCommon
from deepboot.reports.claims.effect import Effect, Verdict
from deepboot.reports.claims.kind import Across, Evidence
from deepboot.reports.claims.p_values import NOT_TESTED, Question, Significance, significance
from deepboot.reports.text import percent, setting


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict in one cell, or over several.

    Attributes:
        claim: as written in the study.
        number: its position among the registered claims, from 1, and after them among the claims added since.
        cell_id: where it was judged; None over several cells, or where ``where`` selects too few.
        cell: its label, or "over 5 cells"; None where ``where`` selects too few.
        effect: measured on the evidence; None without evidence.
        verdict: in this cell, or over all of them.
        overall: of the claim over all cells that it selects, by its quantifier.
        confidence: of the interval, corrected if the claim is primary.
        primary: whether the error that it is allowed is divided by the number of primary claims.
        changed: differences from the registration before the first run, one clause each.
        withdrawn: whether it was registered, and the study has it no longer.
        folder: of the claim, where several folders are judged; else empty.
        reason: why it could not be judged, else empty.
        evidence: the runs that it was judged on; None where ``where`` selects too few cells.
        settings: of the claim's kind, with defaults filled in.
    """

    claim: dict[str, Any]
    number: int
    cell_id: str | None
    cell: str | None
    effect: Effect | None
    verdict: Verdict
    overall: Verdict
    confidence: float
    primary: bool
    reason: str
    changed: tuple[str, ...] = ()
    withdrawn: bool = False
    folder: str = ""
    evidence: Evidence | Across | None = field(default=None, repr=False, compare=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def at(self, confidence: float) -> Effect:
        """The effect measured with another confidence."""
        assert self.evidence is not None
        return find("claim", self.claim["kind"]).target(replace(self.evidence, confidence=confidence), **self.settings)

    @property
    def question(self) -> Question | None:
        """The verdict as a function of the allowed error; None without an effect."""
        if self.effect is None:
            return None
        return Question(self.effect, 1 - self.confidence, lambda error: self.at(1 - error).verdict)

    @cached_property
    def significance(self) -> Significance:
        """The p value of this verdict, not adjusted for other cells or claims; computed once, on first use."""
        return significance(self.question) if self.question else NOT_TESTED

    @property
    def post_hoc(self) -> bool:
        """Whether something that the verdict depends on differs from the registration."""
        return bool(self.changed)

    @property
    def title(self) -> str:
        """The claim's own text, or its kind and settings."""
        given = {key: value for key, value in self.claim.items() if key not in ClaimCommon.model_fields}
        listed = ", ".join(f"{key} {_setting_text(value)}" for key, value in given.items())
        return self.claim.get("text") or self.claim["kind"] + (f" ({listed})" if listed else "")

    @property
    def sentence(self) -> str:
        """The verdict with its numbers, in a sentence."""
        in_cell = f" in {self.cell}" if self.cell not in (None, "real", "ideal") else ""
        where = f" {self.cell}" if self.cell and self.cell_id is None else in_cell
        if self.effect is None or self.effect.interval is None:
            text = f"not judged{where}: {self.reason}"
        else:
            effect = self.effect
            note = f"; {effect.note}" if effect.note else ""
            text = (
                f"{self.verdict}{where}: the {effect.name} is {effect.estimate_text} "
                f"({percent(self.confidence)} interval {effect.interval_text}; {effect.sample_text}{note}); "
                f"{f'{effect.known_to_text}; ' if effect.known_to_text else ''}claimed: {effect.claimed_text}"
            )
        return f"{text[0].upper()}{text[1:]}{self._marks}."

    @property
    def _marks(self) -> str:
        """In brackets: withdrawn, and post hoc with the reasons."""
        changed = f"post hoc: {'; '.join(self.changed)}" if self.changed else ""
        marks = "; ".join(filter(None, ["withdrawn" if self.withdrawn else "", changed]))
        return f" ({marks})" if marks else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: open ends are null."""
        effect = self.effect
        return {
            "claim": self.claim,
            "number": self.number,
            "cell_id": self.cell_id,
            "cell": self.cell,
            "verdict": self.verdict,
            "overall": self.overall,
            "effect": effect.name if effect else None,
            "estimate": finite_ends(effect.estimate if effect else None),
            "interval": finite_ends(effect.interval if effect else None),
            "n": effect.n if effect else 0,
            "total": effect.n + effect.missing if effect else 0,
            "threshold": finite_ends(effect.region if effect else None),
            "confidence": self.confidence,
            "primary": self.primary,
            "post_hoc": self.post_hoc,
            "changed": list(self.changed),
            "withdrawn": self.withdrawn,
            "folder": self.folder or None,
            "reason": self.reason,
            "sentence": self.sentence,
        }


def _setting_text(value: Any) -> str:
    """A setting's value; of a table, each entry with its name."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_setting_text(held)}" for name, held in value.items())
    return setting(value)


def finite_ends(bounds: tuple[float, float] | None) -> list[float | None] | None:
    """Ends of an interval, None where infinite."""
    return None if bounds is None else [end if math.isfinite(end) else None for end in bounds]
