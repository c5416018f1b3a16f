"""The evidence that a claim is judged on, and the decorator that makes a function a kind of claim.

A kind is one function from the evidence of one cell to an effect with its interval:

    @claim_kind("late", min_seeds=6)
    def late(evidence: Evidence, *, after: Annotated[int, Field(ge=0)]) -> Effect:
        bounds = event_bounds(evidence.runs_of("real"), "grokking")
        interval = median_interval(bounds["low"], bounds["high"], evidence.confidence)
        return Effect("median grokking step", Bounds(after, math.inf), len(bounds), "runs", interval=interval)

Its keyword-only parameters are its settings in a study; their annotations are their types and limits. A kind that
compares cells is decorated with ``scope="cells"`` and takes `Across`: all cells that ``where`` selects, at once.
`claim_kind` lists further declarations of a kind: for a plan, for a figure, and for the evidence beside its verdicts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd

from deepboot.bootstrap.registry import find, register, settings
from deepboot.bootstrap.results import among
from deepboot.reports.at_step import When
from deepboot.reports.cell_tables import CellTables
from deepboot.reports.cells import KEY
from deepboot.reports.claims.effect import Effect
from deepboot.reports.comparison import Comparison
from deepboot.reports.text import EVENTS

Scope = Literal["cell", "cells"]
MinSeeds = int | Callable[..., int | None]
Unjudgeable = Callable[["Across", Mapping[str, Any]], str]
Clause = Callable[[Any, int, float], str]
Figures = tuple[str, ...] | Mapping[str, tuple[str, ...]]
GROUPS = ("of", "to")  # settings by which a kind that compares two groups of runs selects their cells


@dataclass(frozen=True)
class Evidence:
    """One cell's runs and pairs, and the confidence that its intervals must have.

    Attributes:
        comparison: the whole comparison that the cell belongs to.
        cell_id, world: which cell.
        cell: its label.
        confidence: coverage of the interval to compute, in (0, 1); already corrected for primary claims.
    """

    comparison: Comparison
    cell_id: str
    world: str
    cell: str
    confidence: float

    @property
    def settings_label(self) -> str:
        """The cell's label without its world, for a sentence that names the world."""
        return self.cell.removeprefix("ideal, ")

    @property
    def runs(self) -> pd.DataFrame:
        """The cell's own runs."""
        return self._tables.runs

    @property
    def pairs(self) -> pd.DataFrame:
        """The cell's pairs, as in `Comparison.pairs`."""
        return self._tables.pairs

    @property
    def evaluations(self) -> pd.DataFrame:
        """The evaluations of the cell's runs and their ideal partners."""
        run_ids = pd.concat([self.runs["run_id"], self.runs_of("ideal")["run_id"]])
        return self.comparison.evaluations[among(self.comparison.evaluations["run_id"], run_ids)]

    def runs_of(self, world: str) -> pd.DataFrame:
        """The cell's own runs, or for "ideal" their ideal partners."""
        return self._tables.ideal_runs if world == "ideal" else self.runs

    def lost(self, world: str) -> int:
        """How many runs of a world have no row, although other runs name them as their partners.

        The other runs are the cell's own, or of an ideal cell all runs of the cells that it has partners in.
        """
        return self._tables.lost_partners if world == "ideal" else 0

    def partners(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The cell's pairs, and the rows of their ideal runs in the same order, null where there is no such run.

        These pairs have no last common step, which takes all evaluations of both runs side by side.
        """
        return self._tables.partnered, self._tables.partners

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The cell's pairs at one of their steps, as in `Comparison.pairs_at`."""
        return self._tables.pairs_at(when, metric)

    @property
    def _tables(self) -> CellTables:
        return self.comparison.tables_of(self.cell_id, self.world)


@dataclass(frozen=True)
class Across:
    """All cells that a claim selects, and the confidence that its interval must have.

    Attributes:
        comparison: the whole comparison that the cells belong to.
        cells: one row per cell, as in `Comparison.cells`: ``cell_id, world, cell`` (its label), ``runs``, then the
            settings that differ between the comparison's cells.
        confidence: as in `Evidence`.
        groups: the cells that ``of`` and ``to`` selected among these, as far as they were looked up. A copy of another
            confidence shares them, so that a p value, which asks for a dozen confidences, looks them up once.
    """

    comparison: Comparison
    cells: pd.DataFrame
    confidence: float
    groups: dict[str, tuple[pd.DataFrame, str]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def per_cell(self) -> list[Evidence]:
        """The evidence of each cell, in the order of ``cells``."""
        return [
            Evidence(self.comparison, cell_id, world, cell, self.confidence)
            for cell_id, world, cell in self.cells[[*KEY, "cell"]].itertuples(index=False)
        ]

    def runs_of(self, world: str) -> pd.DataFrame:
        """The cells' own runs, or for "ideal" their ideal partners, with ``cell_index``: of their cell, from 0."""
        tables = [cell.runs_of(world).assign(cell_index=index) for index, cell in enumerate(self.per_cell)]
        return pd.concat(tables, ignore_index=True)

    def lost(self, world: str) -> int:
        """As `Evidence.lost`, summed over cells: a run that two cells share and lost counts twice."""
        return sum(cell.lost(world) for cell in self.per_cell)

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The cells' pairs at one of their steps, as in `Comparison.pairs_at`, with ``cell_index`` as in `runs_of`."""
        tables = [cell.pairs_at(when, metric).assign(cell_index=index) for index, cell in enumerate(self.per_cell)]
        return pd.concat(tables, ignore_index=True)


class ClaimedRegion(NamedTuple):
    """Where a claim wants the mean bootstrap error to lie, infinite where open, and a sentence for the caption."""

    low: float
    high: float
    sentence: str


@dataclass(frozen=True)
class Quantity:
    """What a kind measures whatever is claimed of it, so that its estimate can stand beside a published number.

    Attributes:
        bounds: its settings that say what is claimed, with a value to measure with: neither estimate nor interval
            depends on them.
        no_effect: the value with an effect in one direction above it and in the other below, as 1 of a ratio, or a
            function of the settings to it. None: no such value.
    """

    bounds: Mapping[str, Any]
    no_effect: float | Callable[[Mapping[str, Any]], float] | None = None

    def no_effect_of(self, settings: Mapping[str, Any]) -> float | None:
        """The value of no effect under these settings, with defaults filled in."""
        return self.no_effect(settings) if callable(self.no_effect) else self.no_effect


@dataclass(frozen=True)
class Traits:
    """What a kind declares beside its function; the attributes are those of `claim_kind`."""

    min_seeds: MinSeeds = 1
    scope: Scope = "cell"
    figure: Figures = ()
    events: tuple[str, ...] = ()
    tailored: bool = False
    pairs: bool = False
    unjudgeable: Unjudgeable | None = None
    clause: Clause | None = None
    refutable_early: bool = False
    region: Callable[[Any], ClaimedRegion] | None = None
    quantity: Quantity | None = None
    fewest_cells: int = 2
    levels: bool = False


_traits: dict[str, Traits] = {}


def claim_kind(
    name: str,
    *,
    min_seeds: MinSeeds = 1,
    scope: Scope = "cell",
    figure: str | Figures = (),
    events: tuple[str, ...] = (),
    tailored: bool = False,
    pairs: bool = False,
    unjudgeable: Unjudgeable | None = None,
    clause: Clause | None = None,
    refutable_early: bool = False,
    region: Callable[[Any], ClaimedRegion] | None = None,
    quantity: Quantity | None = None,
    fewest_cells: int = 2,
    levels: bool = False,
) -> Callable[[Any], Any]:
    """Decorator that makes a function (evidence, settings) -> Effect a kind of claim.

    Args:
        name: value of ``kind`` in a study.
        min_seeds: fewest seeds with which a claim can be supported: a number, or a function of the
            settings and the confidence, which may return None for never.
        scope: "cell", judged in every selected cell on its `Evidence`, or "cells", judged once on their `Across`.
        figure: the report's figure that shows its effect, such as "steps" or "bootstrap_error"; of several the
            best one first. A page links to the first that it has. Where these depend on the setting ``event``, a
            mapping from its values.
        events: of "memorization", "grokking" and "stopping", the ones that a run must reach to count in full; a page
            names the runs that did not. Settings called ``event``, in the place of "grokking", or ``at`` decide it
            where a kind has them.
        tailored: whether the interval is made for the claimed region, as where it is cut off at the region's ends.
        pairs: whether it compares runs with their ideal partners, so that a study without these cannot make it.
        unjudgeable: why it can never be judged on these cells with these settings, from the planned runs alone; empty
            if it can. Settings called ``world`` and ``metric`` need no such check:
            by these names they are compared with the planned runs and with the columns of ``evaluations``.
        clause: words for a plan before any run, on the effect that so many seeds can settle: a function of the
            settings, the number of seeds and the confidence.
        refutable_early: whether fewer than ``min_seeds`` can still refute it; then its clause is for them too.
        region: of a kind that bounds the mean bootstrap error, where the figure marks the bounds: a function of the
            settings.
        quantity: of a kind whose estimate is a number by itself, whatever is claimed; a study may then set it beside
            a published one (`reports.replication`).
        fewest_cells: of a kind of scope "cells", how many it takes: 1 where it counts over cells and compares none.
        levels: whether its interval narrows with more values of the settings that it names, and not with more seeds.
    """
    figures = (figure,) if isinstance(figure, str) else figure

    def decorate(function: Callable[..., Effect]) -> Callable[..., Effect]:
        registered = register("claim", name)(function)
        _traits[name] = Traits(
            min_seeds, scope, figures, events, tailored, pairs, unjudgeable, clause, refutable_early, region, quantity,
            fewest_cells, levels,
        )  # fmt: skip
        return registered

    return decorate


def traits_of(kind: str) -> Traits:
    """What a kind declared with `claim_kind`; the defaults of an unknown one."""
    return _traits.get(kind, Traits())


def scope_of(kind: str) -> Scope:
    """Whether a kind is judged in every selected cell, "cell", or once over all of them, "cells"."""
    return traits_of(kind).scope


def events_of(kind: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The events that a run must reach to count in full for a claim with these settings.

    >>> events_of("any", {"event": "memorization"}), events_of("any", {"at": "until_stopping"})
    (('memorization',), ('stopping',))
    """
    if "event" in given:
        named = (given["event"],) if given["event"] in EVENTS else ()
        return (*(event for event in traits_of(kind).events if event != "grokking"), *named)
    if "at" in given:
        return ("stopping",) if "stopping" in str(given["at"]) else ()
    return traits_of(kind).events


def figures_of(kind: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the report's figures that show the effect of a claim with these settings, the best one first."""
    figures = traits_of(kind).figure
    return figures if isinstance(figures, tuple) else figures.get(str(given.get("event")), ())


def seeds_needed(kind: str, given: Mapping[str, Any], confidence: float = 0.95) -> int | None:
    """Fewest seeds with which a claim of this kind can be supported; None for never.

    Args:
        kind: the claim's kind.
        given: its settings, without the keys common to all claims.
        confidence: of its interval, corrected if it is primary.

    Raises:
        ValueError: no such kind, or settings that it does not take.
    """
    find("claim", kind)
    needed = traits_of(kind).min_seeds
    return needed if isinstance(needed, int) else needed(settings("claim", kind)(**given), confidence)
