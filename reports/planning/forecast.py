"""The question to a pilot, a claim in the cells that it is judged in, and the answer: the seeds that it needs."""

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
    """The seeds that one claim needs in one cell, or over several, by a pilot.

    Attributes:
        judgement: the verdict on the pilot itself.
        seeds: of the pilot, in the runs that the claim is judged on.
        needed: fewest seeds tried that settle it with 80 % power; ``seeds`` where the pilot settles it. None: none do.
        verdict: with ``needed`` seeds.
        cautious: a calculated ``needed`` for the largest spread that the pilot allows, by its 80 % bound; None beyond
            the numbers of seeds tried.
        within: largest number of seeds tried.
        hits, resamples: how many of the resamples at ``needed`` seeds had the verdict; 0 of 0 where calculated.
        reason: why there is no forecast, or the cure where seeds do not help; else empty.
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
        """The forecast in words, as the rest of a line."""
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
    """A claim in the cells that it is judged in, which can be judged on other runs of them."""

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
        """The claim's effect, measured in other runs of the same cells."""
        evidence = replace(self.evidence, comparison=comparison)
        if isinstance(evidence, Across):
            runs = comparison.runs.groupby(KEY, sort=False).size().rename("runs").reset_index()
            cells = evidence.cells.drop(columns="runs").merge(runs, on=KEY)
            evidence = replace(evidence, cells=cells[list(evidence.cells.columns)])
        return replace(self.judgement, evidence=evidence).at(self.judgement.confidence)
