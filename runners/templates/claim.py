"""A kind of claim of your own: what is measured, with its interval, and the region that is claimed."""

from deepboot.reports.claims.kind import Effect, Evidence, claim_kind
from deepboot.reports.statistics.intervals import mean_interval


@claim_kind("NAME", min_seeds=3)
def own(evidence: Evidence, *, max: float = 0.5) -> Effect:
    """The mean of the runs' last test errors is at most ``max``."""
    rows = evidence.evaluations.sort_values("step")
    last = rows.groupby("run_id")["test_error"].last().dropna().to_numpy()
    interval, reason = None, "one run has no interval"
    if len(last) > 1:
        interval, reason = mean_interval(last, confidence=evidence.confidence), ""
    estimate = (last.mean(), last.mean()) if len(last) else None
    return Effect(
        name="last test error",
        region=(0.0, max),
        n=len(last),
        items="runs",
        estimate=estimate,
        interval=interval,
        reason=reason,
    )
