"""Real runs beside their ideal partners: pairs, and the bootstrap error at every step.

The bootstrap error is real minus ideal at the same step and seed, signed. Both worlds of a pair are
identical until the first sample is used again, so it is zero by construction up to the first reuse.
Source: Nakkiran, Neyshabur and Sedghi 2021, arXiv 2010.08127.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS, STATUSES
from deepboot.bootstrap.results import Results, among, typed, with_metric
from deepboot.reports.at_step import When, by_cell_at
from deepboot.reports.cell_tables import CellTables
from deepboot.reports.cells import CELL, KEY, cell_table
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import PROBE_PREFIX
from deepboot.reports.time_axis import UNITS, Axis, on_one_grid, timed

NOT_METRICS = ("run_id", "step", "update", "samples_seen")  # columns of evaluations
NOT_FINISHED = tuple(status for status in STATUSES if status != "finished")
SHARED = [*CELL, "seed", "status", "first_reuse_step", "last_step", "metric"]


@dataclass(frozen=True)
class Comparison:
    """Runs of one or several results, with every real run joined to its ideal partner.

    Attributes:
        runs: one row per run, with its cell's label as ``cell``.
        evaluations: one row per run and evaluated step, with the values of probes as ``probes.`` and their name.
        sources: the results that it was made of.
        axis: unit of every column of steps: optimiser updates, samples seen or seconds.

    >>> from deepboot.reports import load
    >>> comparison = compare(load("results/demo"))
    >>> len(comparison.runs), comparison.axis
    (16, 'step')
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    sources: tuple[Results, ...]
    axis: Axis = "step"

    def over(self, axis: Axis) -> "Comparison":
        """The same runs with every step, and every event's, expressed in samples seen or in seconds.

        Pairs are joined at the same optimiser updates whatever the axis; their step is then the real run's time.
        Claims are about steps: judge the comparison in steps.

        Raises:
            ValueError: no such axis, or a comparison that is not in steps.

        >>> from deepboot.reports import load
        >>> samples = compare(load("results/demo")).over("samples")
        >>> samples.evaluations["step"].head(3).astype(int).tolist()  # of batches of 1,250
        [0, 1250, 2500]
        """
        if axis not in UNITS:
            raise ValueError(f"unknown axis {axis!r}. Known: {', '.join(UNITS)}.")
        if axis == self.axis:
            return self
        if self.axis != "step":
            raise ValueError(f"this comparison is in {self.axis} already. Call `over({axis!r})` on the one in steps.")
        if axis not in self._on_axis:
            self._on_axis[axis] = Comparison(*timed(self.runs, self.evaluations, axis), self.sources, axis)
        return self._on_axis[axis]

    @cached_property
    def _on_axis(self) -> dict[Axis, "Comparison"]:
        """The comparisons that `over` has made."""
        return {}

    def cells(self) -> pd.DataFrame:
        """One row per cell: ``cell_id, world, cell`` (a short label), ``runs``, then the settings that differ.

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).cells()[["world", "cell", "runs"]].to_numpy().tolist()
        [['real', 'real', 8], ['ideal', 'ideal', 8]]
        """
        return self._cells.copy()

    def pairs(self) -> pd.DataFrame:
        """One row per pair: the real run's columns, the ideal partner's under ``ideal_…``, ``last_common_step``.

        A real run is any run that names an ideal partner, whatever the rule of its world. Where the
        partner is not among the runs its columns are null.

        >>> from deepboot.reports import load
        >>> pairs = compare(load("results/demo")).pairs()
        >>> len(pairs), pairs["ideal_status"].unique().tolist()
        (8, ['finished'])
        """
        return self.partnered.join(self.last_common_steps, on="run_id")

    def bootstrap_error(self, metric: str | None = None) -> pd.DataFrame:
        """The bootstrap error of every pair at every step that both worlds evaluated.

        Args:
            metric: a column of ``evaluations``; by default the one that each run names: the test soft error under
                cross-entropy, else the test error, unless a plugin's loss says otherwise.

        Returns:
            ``run_id, ideal_run_id, cell_id, cell, world, seed, step, real, ideal, bootstrap_error`` (real minus
            ideal), ``after_first_reuse`` (step > first_reuse_step: an evaluation at step s follows s updates,
            so up to ``first_reuse_step`` the worlds are identical) and ``metric``.

        Raises:
            ValueError: no such metric.

        >>> from deepboot.reports import load
        >>> errors = compare(load("results/demo")).bootstrap_error()
        >>> errors.loc[~errors["after_first_reuse"], "bootstrap_error"].unique()  # both worlds are the same until then
        array([0.])
        """
        self._check_metric(metric)
        table = self._joined.assign(metric=metric) if metric else self._joined
        real, ideal = _metric_values(table, ""), _metric_values(table, "_ideal")
        return pd.DataFrame(
            {
                **{name: table[name] for name in ("run_id", "ideal_run_id", *CELL, "seed", "step")},
                "real": real,
                "ideal": ideal,
                "bootstrap_error": real - ideal,
                "after_first_reuse": (table["step"] > table["first_reuse_step"]).fillna(False).astype(bool),
                "metric": table["metric"],
            }
        )

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The bootstrap error of every pair at one of its steps, null where that step or a value does not exist.

        Args:
            when: "stopping", the real run's stopping step (its evaluation ``stopping_high``), or "end", the last
                step that both worlds evaluated; a pair with a run that did not finish has no end.
            metric: as in `bootstrap_error`.

        Returns:
            one row per pair: ``run_id, cell_id, cell, world, seed, metric, status, ideal_status, first_reuse_step,
            step, real, ideal, bootstrap_error, generalization_gap`` (test minus train in the real world).

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).pairs_at("end").shape
        (8, 14)
        """
        if (when, metric) not in self._pairs_at_cache:
            self._pairs_at_cache[when, metric] = self._make_pairs_at(when, metric)
        return self._pairs_at_cache[when, metric].copy()

    def at_stopping(self, metric: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """Bootstrap error and generalisation gap at the stopping step, one row per cell.

        Returns:
            ``cell_id, cell, world, metric, pairs, n`` (pairs with a value), ``without`` (pairs that never reach the
            step), ``step_low, step_high`` (range over pairs), the means ``real, ideal, bootstrap_error``, ``low,
            high`` (paired t interval, null below 3 pairs), ``exact_low, exact_high`` (by sign flips, null below 6),
            ``generalization_gap, gap_low, gap_high, note``.

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).at_stopping()[["cell", "pairs"]].to_dict("list")
        {'cell': ['real'], 'pairs': [8]}
        """
        return self._summary("stopping", metric, confidence)

    def at_end(self, metric: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """Bootstrap error and generalisation gap at the last common step, with the columns of `at_stopping`.

        >>> from deepboot.reports import load
        >>> end = compare(load("results/demo")).at_end().iloc[0]
        >>> bool(end["low"] <= end["bootstrap_error"] <= end["high"])
        True
        """
        return self._summary("end", metric, confidence)

    def largest(self, metric: str | None = None) -> pd.DataFrame:
        """Step and value of the largest mean bootstrap error in size, per cell: picked from many, so no estimate.

        Returns:
            ``cell_id, cell, world, step, bootstrap_error`` (the mean over pairs), over steps that every pair of the
            cell evaluated after the first reuse; cells without such a step are left out.

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).largest().columns.tolist()
        ['cell_id', 'cell', 'world', 'step', 'bootstrap_error']
        """
        errors = self.bootstrap_error(metric)
        errors = errors[errors["after_first_reuse"]]
        means = errors.groupby([*CELL, "step"], sort=False)["bootstrap_error"].agg(["mean", "count"]).reset_index()
        pairs = errors.groupby(CELL, sort=False)["run_id"].nunique().rename("pairs").reset_index()
        means = means.merge(pairs, on=CELL)
        means = means[means["count"] == means["pairs"]].rename(columns={"mean": "bootstrap_error"})
        largest = means["bootstrap_error"].abs().groupby(means["cell_id"] + means["world"], sort=False).idxmax()
        return means.loc[largest, [*CELL, "step", "bootstrap_error"]].reset_index(drop=True)

    def panels(self) -> pd.DataFrame:
        """Runs in the panel of each cell: its own, and the ideal partners that it shares with other cells.

        Returns:
            ``run_id, cell_id, cell`` (of the panel), ``world, seed, status, first_reuse_step`` (null in ideal rows),
            one row per run and cell, in the order of the runs. Ideal runs without a partner have their own cell.

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).panels().groupby("cell").size().to_dict()  # real runs and their partners
        {'real': 16}
        """
        return self._panels.copy()

    @cached_property
    def _panels(self) -> pd.DataFrame:
        keep = ["run_id", *CELL, "seed", "status", "first_reuse_step"]
        ideal = self.runs["world"] == "ideal"
        pairs = self.partnered.dropna(subset=["ideal_status"])
        partners = pairs[["ideal_run_id", "cell_id", "cell", "seed", "ideal_status"]].drop_duplicates()
        partners = partners.rename(columns={"ideal_run_id": "run_id", "ideal_status": "status"})
        partners = partners.assign(world="ideal", first_reuse_step=np.nan)
        alone = self.runs.loc[ideal & ~among(self.runs["run_id"], partners["run_id"]), keep]
        panels = pd.concat([self.runs.loc[~ideal, keep], partners[keep], alone], ignore_index=True)
        return panels.astype({"first_reuse_step": self.runs["first_reuse_step"].dtype, "world": "string"})

    def curves(self, metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """Evaluations to draw: the columns of `panels`, then those of ``evaluations``, run by run.

        In seconds no two runs are evaluated at the same time, so they are interpolated at times that all share.

        Args:
            metrics: columns of evaluations; all that were measured if None.

        >>> from deepboot.reports import load
        >>> curves = compare(load("results/demo")).curves()
        >>> curves.groupby(["cell", "world"])["run_id"].nunique().to_dict()
        {('real', 'ideal'): 8, ('real', 'real'): 8}
        """
        rows = self.evaluations
        if metrics is not None:
            wanted = {*NOT_METRICS, *metrics}
            rows = rows[[name for name in rows.columns if name in wanted]]
        curves = self._panels.merge(rows, on="run_id", how="inner")
        return on_one_grid(curves) if self.axis == "seconds" else curves

    @cached_property
    def labels(self) -> pd.DataFrame:
        """One row per cell, in the order of the runs: ``cell_id, world, cell`` (its label)."""
        return self.runs[[*KEY, "cell"]].drop_duplicates(KEY)

    @cached_property
    def _cells(self) -> pd.DataFrame:
        return cell_table(self.runs)

    @cached_property
    def last_common_steps(self) -> pd.Series:
        """The last step at which both runs of a pair were evaluated, by the real one's run_id."""
        return self._joined.groupby("run_id")["step"].max().rename("last_common_step")

    @cached_property
    def partnered(self) -> pd.DataFrame:
        """The pairs, without their last common step: that takes all evaluations of both runs side by side."""
        columns = [
            "status",
            *(f"{event}_{end}" for event in ("memorization", "grokking") for end in ("low", "high")),
            "last_step",
        ]
        real = self.runs[self.runs["ideal_run_id"].notna()]
        ideal = self.runs_by_id[columns].add_prefix("ideal_")
        return real.join(ideal, on="ideal_run_id").reset_index(drop=True)

    def _summary(self, when: When, metric: str | None, confidence: float) -> pd.DataFrame:
        """One row per cell, as in `at_stopping`: made once, since finding, tables and command line all ask for it."""
        asked = when, metric, confidence
        if asked not in self._summaries:
            self._summaries[asked] = by_cell_at(self.pairs_at(when, metric), when, confidence)
        return self._summaries[asked].copy()

    @cached_property
    def _summaries(self) -> dict[tuple[When, str | None, float], pd.DataFrame]:
        """Tables that `_summary` has made so far."""
        return {}

    @cached_property
    def _pairs_at_cache(self) -> dict[tuple[When, str | None], pd.DataFrame]:
        """Tables that `pairs_at` has made so far: claims ask for the same ones in every cell."""
        return {}

    def tables_of(self, cell_id: str, world: str) -> CellTables:
        """The tables of one cell; the same object whoever asks, so that each is made once.

        >>> from deepboot.reports import load
        >>> comparison = compare(load("results/demo"))
        >>> cell_id = comparison.runs["cell_id"].iloc[0]
        >>> comparison.tables_of(cell_id, "real") is comparison.tables_of(cell_id, "real")
        True
        """
        return self._cell_tables.setdefault((cell_id, world), CellTables(self, cell_id, world))

    @cached_property
    def runs_by_id(self) -> pd.DataFrame:
        """The runs, by run_id."""
        return self.runs.set_index("run_id")

    @cached_property
    def lost_partners(self) -> pd.Index:
        """The ideal runs that some runs name as their partners and that have no row, by run_id."""
        named = pd.Index(self.runs["ideal_run_id"].dropna().unique())
        return named.difference(self.runs_by_id.index)

    @cached_property
    def runs_by_cell(self) -> dict[Any, pd.DataFrame]:
        """The runs of each cell, by cell_id and world."""
        return dict(list(self.runs.groupby(KEY, sort=False)))

    @cached_property
    def partnered_by_cell(self) -> dict[Any, pd.DataFrame]:
        """The pairs of each cell, as in `partnered`, by cell_id and world."""
        return dict(list(self.partnered.groupby(KEY, sort=False)))

    def pairs_at_by_cell(self, when: When, metric: str | None) -> dict[Any, pd.DataFrame]:
        """The pairs of each cell at one of their steps, by cell_id and world.

        >>> from deepboot.reports import load
        >>> [len(pairs) for pairs in compare(load("results/demo")).pairs_at_by_cell("end", None).values()]
        [8]
        """
        if (when, metric) not in self._pairs_at_by_cell:
            groups = self.pairs_at(when, metric).groupby(KEY, sort=False)
            self._pairs_at_by_cell[when, metric] = dict(list(groups))
        return self._pairs_at_by_cell[when, metric]

    @cached_property
    def _cell_tables(self) -> dict[tuple[str, str], CellTables]:
        return {}

    @cached_property
    def _pairs_at_by_cell(self) -> dict[tuple[When, str | None], dict[Any, pd.DataFrame]]:
        return {}

    def final(self, metric: str = "test_error") -> pd.Series:
        """Every run's value of a metric at the end of its budget, by run_id.

        Infinite where it diverged; NaN where it failed, or is unfinished: the last evaluation so far is not its last.

        Raises:
            ValueError: no such metric.

        >>> from deepboot.reports import load
        >>> compare(load("results/demo")).final().shape
        (16,)
        """
        self._check_metric(metric)
        last = self.evaluations.groupby("run_id").tail(1).set_index("run_id")[metric].astype(float)
        status = self.runs_by_id["status"]
        known = last.reindex(status.index).mask(status.isin(("failed", "unfinished")).to_numpy(dtype=bool))
        return known.mask((status == "diverged").to_numpy(dtype=bool), math.inf)

    def limits(self, metric: str, runs: pd.DataFrame) -> Bounds:
        """Smallest and largest possible value of a metric of these runs: 0 and 1 for an error, infinite for others.

        Under the squared loss with real-valued labels, error and soft error are the squared error, which has no upper
        limit.

        >>> from deepboot.reports import load
        >>> comparison = compare(load("results/demo"))
        >>> comparison.limits("test_error", comparison.runs), comparison.limits("test_loss", comparison.runs)
        (Bounds(low=0.0, high=1.0), Bounds(low=-inf, high=inf))
        """
        if not metric.endswith("error") or metric.startswith(PROBE_PREFIX):
            return Bounds(-math.inf, math.inf)
        squared = runs["run_id"][runs["loss.name"] == "mse"] if "loss.name" in runs else runs["run_id"].head(0)
        rows = self.evaluations.head(0)
        if len(squared):
            rows = self.evaluations[among(self.evaluations["run_id"], squared)]
        real_valued = len(rows) > 0 and bool(rows["test_error"].equals(rows["test_soft_error"]))
        return Bounds(0.0, math.inf if real_valued else 1.0)

    def _make_pairs_at(self, when: When, metric: str | None) -> pd.DataFrame:
        pairs = self.pairs()
        finished = ((pairs["status"] == "finished") & (pairs["ideal_status"] == "finished")).fillna(False).astype(bool)
        step = pairs["stopping_high"] if when == "stopping" else pairs["last_common_step"].where(finished)
        columns = ["run_id", *CELL, "seed", "status", "ideal_status", "first_reuse_step"]
        pairs = pairs[columns].assign(step=step)
        errors = self.bootstrap_error(metric)[["run_id", "step", "real", "ideal", "bootstrap_error", "metric"]]
        gaps = self._joined[["run_id", "step"]].assign(generalization_gap=_gap(self._joined, errors["metric"]))
        table = pairs.merge(errors, on=["run_id", "step"], how="left")
        table["metric"] = metric or table["run_id"].map(_test_metric(self.runs_by_id))
        return table.merge(gaps, on=["run_id", "step"], how="left")

    @cached_property
    def _joined(self) -> pd.DataFrame:
        """Evaluations of real runs beside those of their partners (suffix ``_ideal``), at common steps."""
        measured = [name for name in self.evaluations.columns if name not in NOT_METRICS]
        update_column = "step" if self.axis == "step" else "update"
        real = self.runs.loc[self.runs["ideal_run_id"].notna(), ["run_id", "ideal_run_id", *SHARED]]
        real = real.assign(metric=_test_metric(real))
        partner = self.evaluations[["run_id", update_column, *measured]]
        partner = partner.rename(columns={"run_id": "ideal_run_id"} | {name: f"{name}_ideal" for name in measured})
        rows = self.evaluations[["run_id", *dict.fromkeys(("step", update_column)), *measured]]
        return rows.merge(real, on="run_id").merge(partner, on=["ideal_run_id", update_column])

    def _check_metric(self, metric: str | None) -> None:
        known = [name for name in self.evaluations.columns if name not in NOT_METRICS]
        if metric is not None and metric not in known:
            raise ValueError(f"unknown metric {metric!r}. Known: {', '.join(known)}.")


def compare(results: Results | Iterable[Results]) -> Comparison:
    """Join every real run to its ideal partner, in one output folder's results or in several side by side.

    Runs that occur more than once, by ``run_id``, count once: the one that went furthest. What is infinite, as an error
    without bounds where a run diverges, is no value: the run itself is counted as diverged.

    Raises:
        ValueError: there is nothing to compare.

    >>> from deepboot.reports import load
    >>> len(compare(load("results/demo")).pairs())
    8
    >>> len(compare([load("results/demo"), load("results/demo")]).pairs())  # the same runs, once
    8
    """
    sources = (results,) if isinstance(results, Results) else tuple(results)
    if not sources:
        raise ValueError("nothing to compare: expected at least one Results, got none. Read one with results.read.")
    tables = [source.runs.assign(_source=index) for index, source in enumerate(sources)]
    runs = typed(pd.concat(tables, ignore_index=True), RUN_COLUMNS)
    furthest = runs[["run_id", "last_step"]].sort_values("last_step", ascending=False, kind="stable")
    once = furthest.drop_duplicates("run_id").index
    if len(once) < len(runs):
        runs = runs.loc[once.sort_values()].reset_index(drop=True)
    rows = pd.concat([source.evaluations.assign(_source=index) for index, source in enumerate(sources)])
    kept = runs[["run_id", "_source"]]
    rows = typed(rows.merge(kept, on=["run_id", "_source"]).drop(columns="_source"), EVALUATION_COLUMNS)
    measured = rows.select_dtypes("float").columns
    rows[measured] = rows[measured].where(np.isfinite(rows[measured]))
    rows = _with_probes(rows, pd.concat([source.probes for source in sources], ignore_index=True))
    rows = rows.sort_values(["run_id", "step"], kind="stable", ignore_index=True)
    return Comparison(_labelled(_swept_first(runs.drop(columns="_source"), sources)), rows, sources)


def _swept_first(runs: pd.DataFrame, sources: Sequence[Results]) -> pd.DataFrame:
    """The same table with the columns of swept settings before those of all others, in the order of the sweep.

    What differs between cells is named by the first settings that tell them apart. So cells of a sweep are named by
    what is swept, and not by a setting that follows from it, as a rate that was tuned for each of them.
    """
    swept = dict.fromkeys(name for source in sources for name in source.study.get("sweep") or {})
    first = [column for name in swept for column in runs if f"{column}.".startswith(f"{name}.")]
    plain = [column for column in map(str, runs) if "." not in column]
    return runs[list(dict.fromkeys((*plain, *first, *runs.columns)))]


def _with_probes(evaluations: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    """Evaluations with a column for every value of a probe, so that claims take it as a metric."""
    if probes.empty:
        return evaluations
    probes = probes.drop_duplicates(["run_id", "step", "name"])
    columns = probes.pivot(index=["run_id", "step"], columns="name", values="value").add_prefix(PROBE_PREFIX)
    return evaluations.merge(columns.reset_index(), on=["run_id", "step"], how="left")


def _labelled(runs: pd.DataFrame) -> pd.DataFrame:
    labels = runs[KEY].merge(cell_table(runs)[[*KEY, "cell"]], on=KEY, how="left")["cell"]
    return with_metric(runs.assign(cell=labels.set_axis(runs.index)))


def _test_metric(runs: pd.DataFrame) -> pd.Series:
    """The column of ``evaluations`` in which each of these runs is compared."""
    return "test_" + runs["metric"]


def _metric_values(table: pd.DataFrame, suffix: str) -> pd.Series:
    """Each row's value of its own metric."""
    values = pd.Series(np.nan, index=table.index, dtype=float)
    for metric in table["metric"].unique():
        rows = table["metric"] == metric
        values[rows] = table.loc[rows, f"{metric}{suffix}"]
    return values


def _gap(joined: pd.DataFrame, metric: pd.Series) -> pd.Series:
    """Test minus train of each row's metric in the real world; null for metrics without a train side."""
    train = metric.str.replace("test_", "train_")
    values = pd.Series(np.nan, index=joined.index, dtype=float)
    for name in metric[train.isin(joined.columns) & (train != metric)].unique():
        rows = metric == name
        values[rows] = joined.loc[rows, name] - joined.loc[rows, name.replace("test_", "train_")]
    return values
