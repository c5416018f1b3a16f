"""What is asked of a pilot, a claim in the cells that it is judged in, and what comes back: the seeds that it needs."""

from dataclasses import dataclass, replace

from deepboot.reports.cells import KEY
from deepboot.reports.claims.effect import Effect, Verdict
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Across, Evidence
from deepboot.reports.comparison import Comparison
from deepboot.reports.statistics.power import MOST, POWER
from deepboot.reports.text import count, percent, plural


@dataclass(frozen=True)
class Forecast:
    """What a pilot says about the seeds that one claim needs in one cell, or over several.

    Attributes:
        judgement: the verdict on the pilot itself.
        seeds: of the pilot, in the runs that the claim is judged on.
        needed: fewest seeds that settle it with 80 % power, of those tried; ``seeds`` where the pilot settles it.
            None: none of them do.
        verdict: how they settle it.
        cautious: what a calculated ``needed`` is where the spread is as large as the pilot allows, by its 80 % bound;
            None where that is beyond those tried.
        within: how many seeds were tried at most.
        hits, resamples: how many of the resamples at ``needed`` seeds had the verdict; 0 of 0 where calculated.
        reason: why nothing is known, or what helps instead of seeds; else empty.
    """

    judgement: Judgement
    seeds: int
    needed: int | None
    verdict: Verdict = "inconclusive"
    cautious: int | None = None
    within: int = 0
    hits: int = 0
    resamples: int = 0
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What a person would say."""
        have = plural(self.seeds, "seed")
        if self.needed == self.seeds and self.judgement.verdict != "inconclusive":
            return f"{self.verdict} with {have}: no more are needed"
        if self.needed is None:
            tried = f", and not within {count(self.within)} either" if self.within else ""
            return f"inconclusive with {have}{tried}{f': {self.reason}' if self.reason else ''}"
        settled = f"inconclusive with {have}; {count(self.needed)} would settle it as {self.verdict}"
        if self.resamples:
            return f"{settled} (in {self.hits} of {self.resamples} resamples of the pilot's seeds)"
        cautious = f"more than {count(MOST)}" if self.cautious is None else count(self.cautious)
        return f"{settled} ({percent(POWER)} power; {cautious} if the spread is as large as {have} allow)"


@dataclass(frozen=True)
class PilotQuestion:
    """A claim in the cells that it is judged in, so that it can be asked of other runs."""

    judgement: Judgement
    evidence: Evidence | Across
    fewest: int | None

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """The cells, by id and world."""
        evidence = self.evidence
        if isinstance(evidence, Evidence):
            return ((evidence.cell_id, evidence.world),)
        return tuple(evidence.cells[KEY].itertuples(index=False, name=None))

    def ask(self, comparison: Comparison) -> Effect:
        """What the claim speaks of, measured in other runs of the same cells."""
        evidence = replace(self.evidence, comparison=comparison)
        if isinstance(evidence, Across):
            runs = comparison.runs.groupby(KEY, sort=False).size().rename("runs").reset_index()
            cells = evidence.cells.drop(columns="runs").merge(runs, on=KEY)
            evidence = replace(evidence, cells=cells[list(evidence.cells.columns)])
        return replace(self.judgement, evidence=evidence).at(self.judgement.confidence)
