"""Studies of other sizes, resampled from a pilot's runs: whole seeds, drawn with replacement.

All runs of a seed stay together, in all cells and with their ideal partners. This is for planning only; no interval of
a report rests on it.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from deepboot.reports.comparison import Comparison


@dataclass(frozen=True)
class Pilot:
    """A comparison with the positions of every seed's rows.

    Attributes:
        comparison: of the pilot's runs.
        run_rows: positions of each seed's runs, one array per seed.
        evaluation_rows: positions of each seed's evaluations.
    """

    comparison: Comparison
    run_rows: list[np.ndarray]
    evaluation_rows: list[np.ndarray]

    @classmethod
    def of(cls, comparison: Comparison) -> "Pilot":
        """The comparison with the rows of each seed."""
        runs = comparison.runs
        seed_of = runs.set_index("run_id")["seed"]
        seeds = runs["seed"].drop_duplicates().sort_values()
        owners = comparison.evaluations["run_id"].map(seed_of)
        return cls(comparison, _positions(runs["seed"], seeds), _positions(owners, seeds))

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.run_rows)

    def resample(self, indices: np.ndarray) -> Comparison:
        """The comparison of the seeds with these indices, each draw as a seed of its own: 0, 1, 2, and so on.

        Runs are named after the run and the draw, so that two draws of one seed are different pairs.

        Args:
            indices: int, (seeds of the resampled study,), 0 .. ``seeds`` − 1.
        """
        runs, draws = _taken(self.comparison.runs, self.run_rows, indices)
        rows, row_draws = _taken(self.comparison.evaluations, self.evaluation_rows, indices)
        names = {name: _named(runs[name], draws) for name in ("run_id", "ideal_run_id")}
        runs = runs.assign(**names, seed=pd.array(draws, dtype="Int64"))
        return replace(self.comparison, runs=runs, evaluations=rows.assign(run_id=_named(rows["run_id"], row_draws)))


def drawn_seeds(seeds: int, size: int, number: int) -> np.ndarray:
    """Indices of the pilot's seeds in the ``number``-th resample of this size, int, (size,).

    They depend on the number alone: a larger resample begins with the smaller ones.

    >>> drawn_seeds(8, 4, 0).tolist() == drawn_seeds(8, 9, 0).tolist()[:4]
    True
    """
    return np.minimum((np.random.default_rng(number).random(size) * seeds).astype(int), seeds - 1)


def _positions(owners: pd.Series, seeds: pd.Series) -> list[np.ndarray]:
    seed_of_row = owners.to_numpy(dtype=float, na_value=np.nan)
    return [np.flatnonzero(seed_of_row == float(seed)) for seed in seeds]


def _taken(table: pd.DataFrame, rows: list[np.ndarray], chosen: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of the chosen seeds, and the number of the draw that each belongs to."""
    taken = [rows[index] for index in chosen]
    draws = np.repeat(np.arange(len(taken)), [len(positions) for positions in taken])
    return table.take(np.concatenate(taken)).reset_index(drop=True), draws


def _named(run_ids: pd.Series, draws: np.ndarray) -> pd.Series:
    """Names of runs with their draw; null where there is no run."""
    names = run_ids.astype(object).where(run_ids.notna(), None)
    named = [None if name is None else f"{name} {draw}" for name, draw in zip(names, draws, strict=True)]
    return pd.Series(named, index=run_ids.index, dtype="string")
