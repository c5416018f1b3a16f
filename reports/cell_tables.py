"""The tables of one cell, each cut out of its comparison once.

A claim is judged on the same cell at a dozen confidences, and several claims on the same cell: looking for its rows
each time took most of the time of the verdicts.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepboot.bootstrap.results import among

if TYPE_CHECKING:
    from deepboot.reports.at_step import When
    from deepboot.reports.comparison import Comparison


@dataclass(frozen=True)
class CellTables:
    """The rows of one cell, in the comparison's order. They are shared by all who ask: nobody may write into them.

    Attributes:
        comparison: that the cell belongs to.
        cell_id, world: which cell.
    """

    comparison: "Comparison"
    cell_id: str
    world: str

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The cell's own runs."""
        return self.comparison.runs_by_cell.get((self.cell_id, self.world), self.comparison.runs.head(0))

    @cached_property
    def ideal_runs(self) -> pd.DataFrame:
        """The ideal partners of the cell's runs; of an ideal cell its own runs."""
        if self.world == "ideal":
            return self.runs
        found = self.comparison.runs_by_id.index.get_indexer(pd.Index(self.runs["ideal_run_id"].dropna().unique()))
        return self.comparison.runs.iloc[np.sort(found[found >= 0])]

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The cell's pairs, as in `Comparison.pairs`."""
        return self.partnered.join(self.comparison.last_common_steps, on="run_id")

    @cached_property
    def partnered(self) -> pd.DataFrame:
        """The cell's pairs, as in `Comparison.partnered`."""
        return self.comparison.partnered_by_cell.get((self.cell_id, self.world), self.comparison.partnered.head(0))

    @cached_property
    def partners(self) -> pd.DataFrame:
        """The rows of the pairs' ideal runs, in the order of the pairs, null where there is no such run."""
        return self.comparison.runs_by_id.reindex(self.partnered["ideal_run_id"]).set_axis(self.partnered.index)

    @cached_property
    def lost_partners(self) -> int:
        """How many ideal runs have no row, although other runs name them as their partners; see `Evidence.lost`."""
        runs, named, lost = self.comparison.runs, self.runs, self.comparison.lost_partners
        if lost.empty:
            return 0
        if self.world == "ideal":
            with_partner = runs[among(runs["ideal_run_id"], self.runs["run_id"])]
            named = runs[among(runs["cell_id"], with_partner["cell_id"])]
        return int(among(named["ideal_run_id"].dropna().drop_duplicates(), lost).sum())

    def pairs_at(self, when: "When", metric: str | None) -> pd.DataFrame:
        """The cell's pairs at one of their steps, as in `Comparison.pairs_at`."""
        tables, key = self.comparison.pairs_at_by_cell(when, metric), (self.cell_id, self.world)
        return tables[key] if key in tables else self.comparison.pairs_at(when, metric).head(0)
