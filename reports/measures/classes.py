"""Outcome classes that papers sort runs into, and intervals of the share of a class.

A classifier is one function from evaluations to a class per run. Its keyword-only parameters are the paper's
thresholds; a study changes them by name.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike
from scipy import special

from deepboot.bootstrap.events import ROUNDING
from deepboot.bootstrap.wording import suggestion
from deepboot.reports.comparison import Comparison
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import setting


def pair(
    evaluations: pd.DataFrame, *, fitted: float = 1e-5, apart: float = 5e4, floor: float = 1e-8
) -> dict[str, pd.Series]:
    """PAIR's four classes, by the losses over the whole run.

    "high train loss" where no train loss is at most ``fitted``, else "high test loss" where no test loss is, else
    "together" where the test loss is nowhere ``apart`` times the train loss, else "grokking". Losses below ``floor``
    count as ``floor``: in float32 a train loss becomes exactly 0 while the test loss is still falling, and their ratio
    infinite. At the default floor a ratio of 50,000 takes a test loss of at least 0.0005.

    Args:
        evaluations: rows of runs; where train losses are not measured, as in an ideal world, online losses take their
            place.
        fitted, apart, floor: losses and a ratio of them.

    Returns:
        by class, whether each run, the index, belongs to it.

    Source: Pearce et al. 2023, Do machine learning models memorize or generalize?, the sparse parity sweep.
    """
    losses = pd.DataFrame({"train": _train(evaluations, "loss"), "test": evaluations["test_loss"]})
    losses["ratio"] = losses["test"].clip(lower=floor) / losses["train"].clip(lower=floor)
    extremes = losses.groupby(evaluations["run_id"]).agg({"train": "min", "test": "min", "ratio": "max"}).dropna()
    fits, generalises = extremes["train"] <= fitted, extremes["test"] <= fitted
    separated = extremes["ratio"] >= apart
    return {
        "high train loss": ~fits,
        "high test loss": fits & ~generalises,
        "together": fits & generalises & ~separated,
        "grokking": fits & generalises & separated,
    }


def liu(evaluations: pd.DataFrame, *, accuracy: float = 0.9, min_delay: float = 1_000) -> dict[str, pd.Series]:
    """Liu's four phases, by the first evaluations with that train and test accuracy.

    "confusion" where the train accuracy is never reached, else "memorisation" where the test accuracy is not, else
    "grokking" where it comes at least ``min_delay`` steps later, else "comprehension".

    Args:
        evaluations: as in `pair`, of errors.
        accuracy: in (0, 1].
        min_delay: steps.

    Returns:
        as `pair`.

    Source: Liu et al. 2022, arXiv 2205.10343, table 1 (which has no word for test accuracy without train accuracy).
    """
    errors = pd.DataFrame({"train": _train(evaluations, "error"), "test": evaluations["test_error"]})
    runs = evaluations["run_id"]
    measured = errors.groupby(runs).count().gt(0).all(axis=1)
    steps = evaluations["step"].astype(float)
    reached = {name: steps.where(values <= 1 - accuracy + ROUNDING) for name, values in errors.items()}
    first = pd.DataFrame(reached).groupby(runs).min()[measured]
    fits, generalises = first["train"].notna(), first["test"].notna()
    late = first["test"] - first["train"] >= min_delay
    return {
        "comprehension": fits & generalises & ~late,
        "grokking": fits & generalises & late,
        "memorisation": fits & ~generalises,
        "confusion": ~fits,
    }


NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Classifier:
    """A way to sort runs.

    Attributes:
        source: the paper, as a genitive: "PAIR's".
        outcomes: its classes.
        sort: (evaluations, thresholds) -> by class, whether each run belongs to it.
    """

    source: str
    outcomes: tuple[str, ...]
    sort: Callable[..., dict[str, pd.Series]]


CLASSIFIERS = {
    "pair": Classifier("PAIR's", ("high train loss", "high test loss", "together", "grokking"), pair),
    "liu": Classifier("Liu's", ("comprehension", "grokking", "memorisation", "confusion"), liu),
}


def classify(comparison: Comparison, classifier: str, settings: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Outcome class of every run.

    Args:
        comparison: its runs in all worlds.
        classifier: a name in ``CLASSIFIERS``.
        settings: thresholds that differ from the classifier's defaults.

    Returns:
        ``run_id, cell, world, seed, outcome``, one row per run: a class, or "diverged" or "failed" whatever the run did
        before; null where it is not measured.

    Raises:
        ValueError: no such classifier, or a threshold that it does not have.
    """
    given = thresholds(classifier, settings)
    outcomes: dict[Any, str] = {}
    for outcome, belongs in CLASSIFIERS[classifier].sort(comparison.evaluations, **given).items():
        outcomes |= dict.fromkeys(belongs.index[belongs], outcome)
    table = comparison.runs[["run_id", "cell", "world", "seed"]].copy()
    # outcomes beside the classes: a broken run is in none, and it counts
    broken = comparison.runs["status"].where(comparison.runs["status"].isin(BROKEN))
    table["outcome"] = broken.fillna(table["run_id"].map(outcomes).astype("string"))
    return table


def named_classifiers(comparison: Comparison) -> list[tuple[str, dict[str, float]]]:
    """The classifiers that a comparison's claims and published numbers name, with their settings, each once."""
    studies = [source.study for source in comparison.sources]
    tables = [table for study in studies for name in ("claims", "published") for table in study.get(name, [])]
    named = [(table["classifier"], dict(table.get("settings") or {})) for table in tables if "classifier" in table]
    return [one for number, one in enumerate(named) if one not in named[:number]]


def outcome_table(comparison: Comparison) -> pd.DataFrame:
    """How many runs of every cell end in each class, by the classifiers of the studies' claims.

    Returns:
        ``classifier`` (with its settings), ``cell, world, outcome, n`` (runs of this class, at least one) and ``total``
        (of the cell). Runs whose class could not be measured are "not measured".
    """
    columns = ["classifier", "cell", "world", "outcome", "n", "total"]
    tables = []
    for classifier, settings in named_classifiers(comparison):
        runs = classify(comparison, classifier, settings)
        runs["outcome"] = runs["outcome"].fillna(NOT_MEASURED)
        runs["total"] = runs.groupby(["cell", "world"])["run_id"].transform("size")
        counts = runs.groupby(["cell", "world", "outcome", "total"], sort=False).size().rename("n").reset_index()
        named = [CLASSIFIERS[classifier].source, *(f"{name} {setting(value)}" for name, value in settings.items())]
        tables.append(counts.assign(classifier=", ".join(named))[columns])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def thresholds(classifier: str, settings: Mapping[str, float] | None = None) -> dict[str, float]:
    """A classifier's thresholds: its defaults with the ones in ``settings`` changed.

    Raises:
        ValueError: as in `classify`.

    >>> thresholds("liu", {"min_delay": 500})
    {'accuracy': 0.9, 'min_delay': 500}
    """
    if classifier not in CLASSIFIERS:
        raise ValueError(f"unknown classifier {classifier!r}. {suggestion(classifier, list(CLASSIFIERS))}")
    parameters = inspect.signature(CLASSIFIERS[classifier].sort).parameters.values()
    known = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    for name in settings or {}:
        if name not in known:
            raise ValueError(f"classifier {classifier!r} has no setting {name!r}. {suggestion(name, list(known))}")
    return known | dict(settings or {})


def share_interval(shares: ArrayLike, confidence: float = 0.95) -> Bounds:
    """Interval of the mean of shares, one per seed, whatever their distribution.

    Runs of one seed have their data and their first weights in common, so only seeds are replicates. For shares of 0
    and 1 the interval has Clopper and Pearson's outer ends at all-0 and all-1, and is a little wider between.

    Args:
        shares: float, (seeds,), in [0, 1], at least one.
        confidence: coverage, at least this at any number of seeds.

    Source: Hoeffding 1963, Journal of the American Statistical Association 58, theorem 1, inverted.

    >>> share_interval([1.0] * 6)
    Bounds(low=0.540..., high=1.0)
    """
    values = np.asarray(shares, dtype=float)
    mean, most = float(values.mean()), math.log(2 / (1 - confidence)) / values.size

    def excess(rate: float) -> float:
        return float(special.rel_entr(mean, rate) + special.rel_entr(1 - mean, 1 - rate)) - most

    edge = 1e-12
    low = scipy.optimize.brentq(excess, edge, mean) if mean > 0 and excess(edge) > 0 else 0.0
    high = scipy.optimize.brentq(excess, mean, 1 - edge) if mean < 1 and excess(1 - edge) > 0 else 1.0
    return Bounds(float(low), float(high))


def seeds_for_share(region: Bounds, confidence: float = 0.95) -> int | None:
    """Fewest seeds at which `share_interval` can lie in a region; None for never.

    >>> seeds_for_share(Bounds(0.9, 1)), seeds_for_share(Bounds(0.5, 0.5))
    (36, None)
    """
    low, high = max(region.low, 0.0), min(region.high, 1.0)
    if low >= high or (low == 0 and high == 1):
        return None if low >= high else 1
    if low == 0 or high == 1:
        information = -math.log(1 - high if low == 0 else low)
    else:  # Chernoff's, of the share that is as hard to tell from either end
        fall, rise = math.log((1 - low) / (1 - high)), math.log(high / low)
        best = fall / (fall + rise)
        information = float(special.rel_entr(best, low) + special.rel_entr(1 - best, 1 - low))
    return math.ceil(math.log(2 / (1 - confidence)) / information - 1e-9)


def _train(evaluations: pd.DataFrame, kind: str) -> pd.Series:
    """Train losses or errors; of a run that has none, online ones."""
    values, runs = evaluations[f"train_{kind}"], evaluations["run_id"]
    measured = values.notna().groupby(runs).transform("any")
    return values.where(measured, evaluations[f"online_{kind}"])
