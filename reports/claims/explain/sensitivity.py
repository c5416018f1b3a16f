"""What would change a verdict: more seeds, a longer budget, or another claimed bound."""

import math

from deepboot.reports.claims.effect import Effect, Verdict
from deepboot.reports.claims.explain.missing_runs import groups, never_reached
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import seeds_needed, traits_of
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import count, measure, percent, plural

MORE_LEVELS = "More values of the settings that it names may settle it, not more seeds; how many is unknown."
MOST_SEEDS = 10_000  # beyond, the estimate is all but at the claimed bound


def sensitivity(judgement: Judgement) -> list[str]:
    """Sentences on what would settle an inconclusive claim, or unsettle a decided one; none without an effect."""
    effect = judgement.effect
    if effect is None:
        return []
    if judgement.verdict != "inconclusive":
        return [_other_bound(judgement, effect)]
    needed = seeds_needed(judgement.claim["kind"], judgement.settings, judgement.confidence)
    there = _items_there(judgement, effect)
    if needed is None:
        return [f"No number of seeds settles it at a confidence of {percent(judgement.confidence)}."]
    if there < needed and effect.items != "cells":
        return [f"More seeds: a verdict takes at least {count(needed)}, and there are {count(there)}."]
    more = MORE_LEVELS if traits_of(judgement.claim["kind"]).levels else _more(effect, there)
    return list(filter(None, [_missing(effect), more, _budget(judgement, effect)]))


def seeds_to_settle(effect: Effect, seeds: int) -> float | None:
    """Rough number of seeds that settle a claim if the estimate stays: the interval shrinks with the root of the seeds.

    None where it is unknown: no interval, an open one, or bounds of the estimate on both sides. Infinite where the
    estimate is at the claimed bound.

    Args:
        effect: inconclusive.
        seeds: how many there are now.

    >>> seeds_to_settle(Effect("error", Bounds(0.1, math.inf), 8, "pairs", Bounds(0.2, 0.2), Bounds(0.0, 0.4)), 8)
    32.0
    """
    if effect.interval is None or effect.estimate is None or effect.leaning == "inconclusive":
        return None
    if not all(map(math.isfinite, effect.interval)):  # the other end of a ratio is then 0, no measure of spread
        return None
    sides = _sides(effect.estimate, effect.interval, effect.region)
    worst = max((reach / room) ** 2 if room > 0 else math.inf for reach, room in sides) * seeds
    return worst if math.isinf(worst) else float(math.ceil(worst - 1e-9))


def _sides(estimate: Bounds, interval: Bounds, region: Bounds) -> list[tuple[float, float]]:
    """On each side that matters, the distances from the estimate to the interval's end and to the claimed bound."""
    if estimate.low > region.high:
        return [(estimate.low - interval.low, estimate.low - region.high)]
    if estimate.high < region.low:
        return [(interval.high - estimate.high, region.low - estimate.high)]
    below, above = (
        (estimate.low - interval.low, estimate.low - region.low),
        (interval.high - estimate.high, region.high - estimate.high),
    )
    return [(reach, room) for reach, room in (below, above) if math.isfinite(room)]


def _missing(effect: Effect) -> str:
    """The missing runs, where the effect is open because of them."""
    if not effect.missing or (effect.estimate and effect.leaning != "inconclusive" and effect.interval):
        return ""
    return f"The missing runs: only {effect.sample_text} are known, and the values of the others may settle it."


def _more(effect: Effect, there: int) -> str:
    """How many more seeds, or cells, would settle it."""
    what, needed = "cells" if effect.items == "cells" else "seeds", seeds_to_settle(effect, there)
    if needed is None:
        return f"More {what} may settle it; how many is unknown{_why_unknown(effect)}."
    if needed > MOST_SEEDS:
        return f"More {what} will hardly settle it: the estimate is almost at the claimed bound."
    return f"More {what}: with about {count(max(needed, there + 1))} it is {effect.leaning}, if the estimate stays."


def _why_unknown(effect: Effect) -> str:
    """Why the seeds that settle a claim are unknown, as the end of a sentence."""
    if effect.interval is None:
        return ", without an interval"
    if effect.leaning == "inconclusive":
        return ", since the bounds of the estimate lie on both sides of the claimed one"
    return ", with an open interval"


def _items_there(judgement: Judgement, effect: Effect) -> int:
    """The number of seeds, or of cells where the effect is over cells."""
    if effect.items == "cells":
        return effect.n
    return len({seed for _, runs in groups(judgement) for seed in runs["seed"]})


def _budget(judgement: Judgement, effect: Effect) -> str:
    """A longer budget, where censored runs leave an end open or the estimate on both sides."""
    censored, of, words = never_reached(judgement)
    bounds = [end for pair in (effect.interval, effect.estimate) if pair for end in pair]
    both = effect.estimate is not None and effect.leaning == "inconclusive"
    if not censored or not (both or math.inf in bounds or not effect.interval):
        return ""
    return f"A longer budget: {censored} of {plural(of, 'run')} {words}, and their later steps may settle it."


def _other_bound(judgement: Judgement, effect: Effect) -> str:
    """The claimed bound that would have made the claim inconclusive: the interval's end nearest to the claimed one."""
    assert effect.interval is not None
    (low, high), region = effect.interval, effect.region
    written = count if effect.whole else measure
    if judgement.verdict == "refuted":
        side, end = ("lower", high) if high < region.low else ("upper", low)
        instead = _verdict_beyond("supported", low, high)
        return f"A claimed {side} bound of about {written(end)} would have made it {instead}."
    sides = [(low - region.low, "lower", low), (region.high - high, "upper", high)]
    sides = [one for one in sides if math.isfinite(one[0])]
    if not sides:
        return "Nothing: it claims nothing that can fail."
    _, side, end = min(sides)
    if traits_of(judgement.claim["kind"]).tailored:
        return f"The interval reaches to {written(end)} on the {side} side; a narrower claim might be inconclusive."
    beyond, instead = "above" if side == "lower" else "below", _verdict_beyond("refuted", low, high)
    return f"A claimed {side} bound {beyond} about {written(end)} would have made it {instead}."


def _verdict_beyond(other: Verdict, low: float, high: float) -> Verdict:
    """The verdict beyond that bound: inconclusive, but the other one where the interval is a single point."""
    return other if low == high else "inconclusive"
