"""Kinds of claim about a quantity that rises or falls along one setting: on the whole, or throughout."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from deepboot.reports.claims.kind import Across, Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.groups import differences_of, ratio_of
from deepboot.reports.claims.kinds.ordering import FIGURES, Ordered, no_order, quantity_of, setting_values
from deepboot.reports.claims.kinds.shared import FinalMetric, JudgedWorld, broken, notes_of, within, without_value
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.incomplete import ANYTHING, mean_bounds, mean_interval, no_interval
from deepboot.reports.statistics.intervals import T_MIN, Bounds, seeds_for_median
from deepboot.reports.statistics.rank import RANK_MIN, monotone_trend
from deepboot.reports.text import EVENT_WORDS, percent, plural, setting

Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Direction = Literal["rises", "falls"]
ABOVE_ZERO = math.ulp(0.0)  # the end of a region that zero is not in


def _for_neighbours(settings: Any, confidence: float) -> int:
    return T_MIN if settings.event == "final_error" else seeds_for_median(confidence)


@claim_kind(
    "trend",
    scope="cells",
    figure=FIGURES,
    unjudgeable=no_order,
    quantity=Quantity({"direction": "rises"}, no_effect=0.0),
)
def trend(
    across: Across,
    *,
    over: str,
    direction: Direction,
    event: Ordered = "grokking",
    world: JudgedWorld = "real",
    metric: FinalMetric = "test_error",
) -> Effect:
    """The step of an event, or the final test error, rises or falls along one setting on the whole.

    A trend may have bumps: `monotone` has none. Runs are ranked by the evaluation at which they reached the event.
    Runs that never did, or later than the shortest censored budget, rank last and equal, as do runs that diverged. The
    rank of a run that failed, or with an unknown end, is not known, and then nothing is judged. Effect: tau of
    Jonckheere and Terpstra's test of a trend; seeds that the cells share make its interval wide, not wrong. Where that
    test, exact for few runs, does not reject at the claim's error, the interval reaches to both sides of 0. ``over``
    is a setting by its dotted name, a number, another one in every cell. ``metric`` takes the place of the test error
    under ``event = "final_error"``.

    Args:
        over: the setting that differs between the cells, by its column of the runs, such as "train_size".
        direction: whether the step or error rises or falls as the setting grows.
        event: what is ranked: the step of an event, or the error at the end.
    """
    rises = direction == "rises"
    region = Bounds(ABOVE_ZERO, math.inf) if rises else Bounds(-math.inf, -ABOVE_ZERO)
    quantity = quantity_of(event, metric)
    name = f"rank trend (tau) of the {quantity} along {over}{within(world)}"
    words = f"{'above' if rises else 'below'} 0"
    value_of_cell, why = setting_values(across, over)
    runs, lost = across.runs_of(world), across.lost(world)
    values, note, failed = _final_errors(across, runs, metric) if event == "final_error" else _event_ranks(runs, event)
    total, unknown = int((values.notna() | failed).sum()) + lost, int(failed.sum()) + lost
    runs = runs.assign(value=values).dropna(subset="value")
    n = len(runs)
    if not why and unknown:
        lacking = "they failed, are unfinished, lost or without a value"
        why = f"where {unknown} of {plural(total, 'run')} rank is not known: {lacking}"
    if why or runs["cell_index"].nunique() < 2:
        reason = why or f"{plural(runs['cell_index'].nunique(), 'cell')} with a run that measures it"
        return Effect(name, region, n, "runs", reason=reason, words=words, total=total)
    groups = [group["value"].to_numpy() for _, group in runs.groupby(runs["cell_index"].map(value_of_cell))]
    tau = monotone_trend(groups, across.confidence)
    estimate = None if math.isnan(tau.estimate) else Bounds(tau.estimate, tau.estimate)
    few = f"{plural(n, 'run')}, and an interval of a rank trend needs {RANK_MIN}"
    reason = "" if tau.interval else few if estimate else f"the {quantity} is the same in all {n} runs"
    interval = tau.interval
    if interval and tau.p > 1 - across.confidence:
        interval = Bounds(min(interval.low, -ABOVE_ZERO), max(interval.high, ABOVE_ZERO))
    return Effect(name, region, n, "runs", estimate, interval, reason, note, words=words, total=total)


@claim_kind("monotone", min_seeds=_for_neighbours, scope="cells", figure=FIGURES, unjudgeable=no_order)
def monotone(
    across: Across,
    *,
    over: str,
    direction: Direction,
    event: Ordered = "grokking",
    world: JudgedWorld = "real",
    tolerance: Tolerance = 0.0,
    metric: FinalMetric = "test_error",
) -> Effect:
    """The step of an event, or the final test error, rises or falls along one setting throughout, without a bump.

    Every cell is compared with the next one along ``over``, seed by seed: final errors by the mean difference and its
    t interval, steps by the typical ratio as in `ratio`. The effect is the largest move in the wrong direction over all
    neighbours. Its upper end is the largest of their upper ends: every neighbour must do, so none needs a correction
    (intersection-union); its lower end is the largest of their lower ends with Bonferroni's correction, since any one
    neighbour may refute. With a ``tolerance`` (an error; of steps, a share) neighbours may move the wrong way by as
    much, and the last cell must then have moved the right way from the first. Final errors that are missing bound
    their differences as in `final_difference`; seeds without a step, as in `ratio`. ``over`` and ``metric`` as in
    `trend`.

    Args:
        over: the setting that differs between the cells, by its column of the runs, such as "train_size".
        direction: whether the step or error rises or falls as the setting grows.
        event: what is compared: the step of an event, or the error at the end.
        tolerance: how far neighbours may move the wrong way: an error, or a share of the steps.
    """
    rises, errors = direction == "rises", event == "final_error"
    quantity, wrong = quantity_of(event, metric), "fall" if rises else "rise"
    allowed = f", beyond {setting(tolerance)}" if tolerance else ""
    measured = f"largest {wrong}" if errors else f"largest {wrong} (as a ratio)"
    name = f"{measured} of the {quantity} between neighbours along {over}{allowed}{within(world)}"
    region = Bounds(-math.inf, 0.0 if errors else 1.0)
    values, why = setting_values(across, over)
    cells = [across.per_cell[index] for index in sorted(values, key=lambda index: values[index])]
    runs, lost = across.runs_of(world), across.lost(world)
    total = runs["run_id"].nunique() + lost
    if why:
        return Effect(name, region, 0, "runs", reason=why, total=total)
    neighbours = [(one, other, tolerance) for one, other in pairwise(cells)]
    neighbours += [(cells[0], cells[-1], 0.0)] if tolerance else []
    levels = (across.confidence, 1 - (1 - across.confidence) / len(neighbours))
    moves: list[_Move] = []
    for one, other, allowance in neighbours:
        before, after = (other, one) if rises else (one, other)
        if errors:
            moves.append(_moved_by_error(before, after, world, metric, allowance, levels))
        else:
            moves.append(_moved_by_ratio(before, after, world, event, allowance, levels))
    reason = next((move.reason for move in moves if move.reason), "")
    lacking = _unknown(across, runs, event, metric)
    n, valueless = int((~lacking).sum()), without_value(runs, lacking.to_numpy()) if errors else ""
    note = "; ".join(filter(None, (broken(runs, lost), valueless)))
    if reason:
        return Effect(name, region, n, "runs", reason=reason, note=note, total=total)
    estimate, interval = (
        Bounds(max(low for low, _ in ends), max(high for _, high in ends))
        for ends in ([move.estimate for move in moves], [move.interval for move in moves])
    )
    return Effect(name, region, n, "runs", estimate, interval, note=note, total=total)


@dataclass(frozen=True)
class _Move:
    """Move from one cell to the next in the wrong direction, less the allowed one; or why it is not known."""

    estimate: Bounds = ANYTHING
    interval: Bounds = ANYTHING
    reason: str = ""


def _moved_by_error(
    one: Evidence, other: Evidence, world: str, metric: str, allowance: float, levels: tuple[float, float]
) -> _Move:
    """Mean difference of the final values of a metric, other minus one, less the allowance.

    Args:
        one, other: cells.
        world, metric: of the runs.
        allowance: a move in the wrong direction that the claim allows.
        levels: confidence of the upper end, and the corrected one of the lower end.
    """
    confidence, corrected = levels
    differences, limits, _ = differences_of(other, one, world, metric)
    above, below = (mean_interval(differences, level, limits) for level in (confidence, corrected))
    middle = mean_bounds(differences, limits)
    if above is None or middle is None:
        return _Move(reason=no_interval(differences, "pairs", confidence))
    low = -math.inf if below is None else below.low
    return _Move(
        Bounds(middle.low - allowance, middle.high - allowance), Bounds(low - allowance, above.high - allowance)
    )


def _moved_by_ratio(
    one: Evidence, other: Evidence, world: str, event: str, allowance: float, levels: tuple[float, float]
) -> _Move:
    """Typical ratio of the steps, other over one, divided by 1 + the allowance; arguments as in `_moved_by_error`."""
    (typical, both, _), (corrected, _, _) = (ratio_of(other, one, world, event, level) for level in levels)
    if typical.interval is None or typical.estimate is None:
        needed = f"a {percent(levels[0])} interval of a ratio needs {seeds_for_median(levels[0])}"
        return _Move(reason=f"{plural(both, 'pair')}, and {needed}")
    low, factor = corrected.interval.low if corrected.interval else 0.0, 1 + allowance
    ends = Bounds(low / factor, typical.interval.high / factor)
    return _Move(Bounds(typical.estimate.low / factor, typical.estimate.high / factor), ends)


def _unknown(across: Across, runs: pd.DataFrame, event: str, metric: str) -> pd.Series:
    """Whether a run's final value, or its step of the event, is not known."""
    if event == "final_error":
        return runs["run_id"].map(across.comparison.final(metric)).replace([np.inf], np.nan).isna()
    bounds = event_bounds(runs, event)
    return (bounds["outcome"] == "failed") | bounds["outcome"].isna()


def _event_ranks(runs: pd.DataFrame, event: str) -> tuple[pd.Series, str, pd.Series]:
    """Steps that can be ranked, infinite beyond the shortest censored budget; a note; and which runs failed."""
    bounds = event_bounds(runs, event)
    censored, failed = bounds["outcome"] == "censored", bounds["outcome"] == "failed"
    budget = bounds.loc[censored, "low"].min() if censored.any() else math.inf
    late = (bounds["outcome"] == "reached") & (bounds["high"] > budget)
    n = int(bounds["outcome"].notna().sum())
    note = notes_of(
        (int(censored.sum()), f"of {n} {EVENT_WORDS[event].never}"),
        (int(late.sum()), f"of {n} later than the shortest budget"),
        (int((bounds["outcome"] == "diverged").sum()), f"of {n} diverged before"),
    )
    return bounds["high"].mask(late, math.inf).mask(failed), note, failed


def _final_errors(across: Across, runs: pd.DataFrame, metric: str) -> tuple[pd.Series, str, pd.Series]:
    """Every run's last value of a metric, infinite where it diverged; a note; and in which runs it is not known."""
    values = runs["run_id"].map(across.comparison.final(metric))
    note = notes_of((int(np.isinf(values).sum()), f"of {int(values.notna().sum())} diverged"))
    return values, note, values.isna()
