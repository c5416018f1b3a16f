"""The gain of pairing the worlds, and of a larger test set, cell by cell.

The two runs of a pair share their first weights, their test set and their first samples. Whether that makes their
errors vary together, and whether a finite test set blurs them more than the seed does, is measured here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deepboot.bootstrap.results import among
from deepboot.reports.at_step import When, missing_values
from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.chance import CLASSES
from deepboot.reports.statistics.intervals import UNKNOWN, clopper_pearson
from deepboot.reports.statistics.paired import paired_correlation, seeds_without_pairing
from deepboot.reports.statistics.test_set_noise import noise_of_test_set

STEPS: tuple[When, ...] = ("stopping", "end")
CORRECT_BELOW = "evaluation.correct_below"  # of runs whose errors of real labels are shares
ERROR = "test_error"  # the share of wrong labels: the one metric that is binomial
TEST_STREAM = "training.streams.test"  # null where every seed draws its own test set
TEST_SIZES = ("facts.test_size", "data.test_samples")  # test samples of a run: the fact, else the setting
UNIVERSE = "facts.universe_size"
NEGLIGIBLE = 1e-3  # errors and gaps below it are not compared: soft errors fall for ever, and ratios turn meaningless


def pairing_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """How closely partners follow each other, one row per cell at the stopping step and one at the end.

    Returns:
        ``cell_id, cell, world, when`` (stopping, end), ``metric, pairs, n`` (pairs with a value), ``correlation`` (of
        the metric between partners, over seeds), ``low, high`` (Fisher's z; NaN below 4 pairs), ``variance_ratio``
        (variance of a pair's difference over that of two independent runs; below 1 pairing helps), ``seeds`` (that
        independent runs would need for an interval as narrow; infinite where differences do not vary), ``negligible``
        (whether all values are below 0.001: then they are not compared) and ``note``. NaN where it is not known.
    """
    rows = [
        key | {"when": when, "pairs": len(pairs)} | _pairing(pairs.dropna(subset="bootstrap_error"), confidence)
        | {"note": missing_values(pairs, when)}
        for when, key, pairs in by_cell(comparison, None, "metric")
    ]  # fmt: skip
    measures = ["n", "correlation", "low", "high", "variance_ratio", "seeds", "negligible"]
    return pd.DataFrame(rows, columns=[*CELL, "when", "metric", "pairs", *measures, "note"])


def noise_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Noise of a finite test set beside the spread over seeds, per cell and world.

    At the stopping step both worlds of a real cell's pairs, at the end every cell's finished runs at their last step.
    There is no row where labels are real numbers: an error is then a square, and no share of wrong labels.

    Returns:
        ``cell_id, cell, world`` (the world that is measured), ``when, n`` (runs), ``test_size`` (samples per run, NaN
        where no column has it), ``own`` (whether every seed has its own test set), ``whole`` (whether it is the whole
        universe: no noise), ``error`` (mean share of wrong labels), ``standard_error`` (binomial, of one run),
        ``seed_spread`` (standard deviation), ``share, low, high`` (of the variance over seeds that the test set alone
        gives, with its interval) and ``limit`` (largest error that a run without a wrong label is consistent with, NaN
        unless all are).
    """
    runs = comparison.runs[[name for name in ("run_id", TEST_STREAM, *TEST_SIZES, UNIVERSE) if name in comparison.runs]]
    runs = runs.assign(share=among(runs["run_id"], _measured_in_shares(comparison)))
    runs = runs.set_index(pd.Index(runs.pop("run_id"), dtype=object))
    rows = [
        key | {"when": when, "n": len(errors)} | _noise(errors, measured, confidence)
        for when, key, errors in _errors(comparison)
        if len(errors) and (measured := runs.reindex(errors.index))["share"].eq(True).all()
    ]
    facts = ["test_size", "own", "whole"]
    measures = ["error", "standard_error", "seed_spread", "share", "low", "high", "limit"]
    return pd.DataFrame(rows, columns=[*CELL, "when", "n", *facts, *measures])


def by_cell(
    comparison: Comparison, metric: str | None, *more: str
) -> Iterator[tuple[When, dict[str, Any], pd.DataFrame]]:
    """Pairs of every cell at the stopping step and at the end: when, cell, rows of `Comparison.pairs_at`."""
    tables = {when: comparison.pairs_at(when, metric) for when in STEPS}
    columns = [*CELL, *more]
    groups = {when: dict(list(table.groupby(columns, sort=False, dropna=False))) for when, table in tables.items()}
    for values in groups[STEPS[0]]:
        for when in STEPS:
            yield when, dict(zip(columns, values, strict=True)), groups[when][values]


def sizes_of_test(runs: pd.DataFrame) -> pd.Series:
    """Test samples of every run: the fact, else the setting, else NaN."""
    unknown = pd.Series(np.nan, index=runs.index, dtype=float)
    fact, setting = (pd.to_numeric(runs[name]).astype(float) if name in runs else unknown for name in TEST_SIZES)
    return fact.fillna(setting)


def _pairing(pairs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    real, ideal = pairs["real"].to_numpy(float), pairs["ideal"].to_numpy(float)
    names = ("correlation", "low", "high", "variance_ratio", "seeds")
    negligible = len(pairs) > 0 and bool(max(real.max(), ideal.max()) < NEGLIGIBLE)
    if len(pairs) < 2 or negligible or not (np.ptp(real) or np.ptp(ideal)):
        return {"n": len(pairs), "negligible": negligible} | dict.fromkeys(names, np.nan)
    paired = paired_correlation(real, ideal, confidence)
    seeds = seeds_without_pairing(real, ideal, confidence)
    values = (paired.correlation, *(paired.interval or UNKNOWN), 1 / paired.variance_ratio, seeds)
    return {"n": paired.n, "negligible": False} | dict(zip(names, values, strict=True))


def _measured_in_shares(comparison: Comparison) -> pd.Index:
    """Runs whose error is a share of wrong labels; of real labels, of which a task has one class, it is a square.

    Unless ``evaluation.correct_below`` says which of them are right.

    Older tables do not have the number of classes: there an error that is the loss, or above 1, is a square.
    """
    rows = comparison.evaluations
    squared = (rows[ERROR] == rows["test_loss"]).groupby(rows["run_id"]).all()
    squared |= rows.groupby("run_id")[ERROR].max() > 1
    if CLASSES in comparison.runs:
        classes = comparison.runs.set_index("run_id")[CLASSES].astype(float).reindex(squared.index)
        squared = squared.mask(classes.notna(), classes == 1)
    if CORRECT_BELOW in comparison.runs:
        squared &= comparison.runs.set_index("run_id")[CORRECT_BELOW].isna().reindex(squared.index)
    return squared.index[~squared.astype(bool)]


def _errors(comparison: Comparison) -> Iterator[tuple[When, dict[str, Any], pd.Series]]:
    """Test errors by run, (n,), of every cell and world at the stopping step and at the end."""
    ideal_of: dict[Any, Any] = comparison.pairs().set_index("run_id")["ideal_run_id"].to_dict()
    for key, pairs in comparison.pairs_at("stopping", ERROR).groupby(CELL, sort=False, dropna=False):
        known = pairs.dropna(subset=["real", "ideal"]).set_index("run_id")
        cell = dict(zip(CELL, key, strict=True))
        yield "stopping", cell, known["real"]
        yield "stopping", cell | {"world": "ideal"}, known["ideal"].rename(index=ideal_of)
    last = comparison.evaluations.groupby("run_id").tail(1).set_index("run_id")[ERROR]
    finished = comparison.runs[comparison.runs["status"] == "finished"]
    for key, runs in finished.groupby(CELL, sort=False, dropna=False):
        yield "end", dict(zip(CELL, key, strict=True)), last.reindex(runs["run_id"]).dropna()


def _noise(errors: pd.Series, runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    sizes = sizes_of_test(runs)
    own = TEST_STREAM not in runs or bool(runs[TEST_STREAM].isna().all())
    universe = runs.get(UNIVERSE, pd.Series(np.nan, index=runs.index)).astype(float)
    facts = {"test_size": sizes.min(), "own": own, "whole": bool((sizes >= universe).all())}
    if sizes.isna().any():
        spread = float(errors.std()) if len(errors) > 1 else np.nan
        return facts | {"test_size": np.nan, "error": float(errors.mean()), "seed_spread": spread}
    noise = noise_of_test_set(errors, int(sizes.min()), confidence)
    low, high = noise.interval or UNKNOWN
    limit = clopper_pearson(0, int(sizes.min()), confidence).high if not errors.any() else np.nan
    measured = {"error": noise.error, "standard_error": noise.standard_error, "seed_spread": noise.seed_spread}
    return facts | measured | {"share": noise.share, "low": low, "high": high, "limit": limit}
