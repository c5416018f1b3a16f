"""Studies of other sizes, made of a pilot's own runs: whole seeds, drawn with replacement.

Everything that one seed did stays together: its runs in all cells, and their ideal partners. Resampling here is for
planning only; no interval of a report rests on it.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from deepboot.reports.comparison import Comparison


@dataclass(frozen=True)
class Pilot:
    """A comparison taken apart by seed.

    Attributes:
        comparison: what was run.
        run_rows: which rows of its runs each seed has, one array of positions per seed.
        evaluation_rows: the same of its evaluations.
    """

    comparison: Comparison
    run_rows: list[np.ndarray]
    evaluation_rows: list[np.ndarray]

    @classmethod
    def of(cls, comparison: Comparison) -> "Pilot":
        """Take a comparison apart."""
        runs = comparison.runs
        seed_of = runs.set_index("run_id")["seed"]
        seeds = runs["seed"].drop_duplicates().sort_values()
        owners = comparison.evaluations["run_id"].map(seed_of)
        return cls(comparison, _positions(runs["seed"], seeds), _positions(owners, seeds))

    @property
    def seeds(self) -> int:
        """How many seeds it has."""
        return len(self.run_rows)

    def drawn(self, places: np.ndarray) -> Comparison:
        """The comparison of the seeds at these places, each draw of one as a seed of its own: 0, 1, 2, and so on.

        Runs are named after the run and the draw, so that two draws of one seed are different pairs.

        Args:
            places: int, (seeds of the study drawn,), 0 .. ``seeds`` − 1.
        """
        runs, draws = _taken(self.comparison.runs, self.run_rows, places)
        rows, row_draws = _taken(self.comparison.evaluations, self.evaluation_rows, places)
        names = {name: _named(runs[name], draws) for name in ("run_id", "ideal_run_id")}
        runs = runs.assign(**names, seed=pd.array(draws, dtype="Int64"))
        return replace(self.comparison, runs=runs, evaluations=rows.assign(run_id=_named(rows["run_id"], row_draws)))


def drawn_seeds(seeds: int, size: int, number: int) -> np.ndarray:
    """Which of a pilot's seeds the ``number``-th resample of this size draws, int, (size,).

    Keyed by the number alone: the same at every call, and a larger resample begins with the smaller ones.

    >>> drawn_seeds(8, 4, 0).tolist() == drawn_seeds(8, 9, 0).tolist()[:4]
    True
    """
    return np.minimum((np.random.default_rng(number).random(size) * seeds).astype(int), seeds - 1)


def _positions(owners: pd.Series, seeds: pd.Series) -> list[np.ndarray]:
    found = owners.to_numpy(dtype=float, na_value=np.nan)
    return [np.flatnonzero(found == float(seed)) for seed in seeds]


def _taken(table: pd.DataFrame, rows: list[np.ndarray], chosen: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of the seeds chosen, and which draw each belongs to."""
    each = [rows[place] for place in chosen]
    draws = np.repeat(np.arange(len(each)), [len(one) for one in each])
    return table.take(np.concatenate(each)).reset_index(drop=True), draws


def _named(run_ids: pd.Series, draws: np.ndarray) -> pd.Series:
    """Names of runs with their draw; none where there is no run."""
    held = run_ids.astype(object).where(run_ids.notna(), None)
    named = [None if name is None else f"{name} {draw}" for name, draw in zip(held, draws, strict=True)]
    return pd.Series(named, index=run_ids.index, dtype="string")
