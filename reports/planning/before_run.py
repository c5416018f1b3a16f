"""What so many seeds can settle of each claim of a study, in one line each, before any run."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from deepboot.bootstrap.registry import settings
from deepboot.bootstrap.study.schema import ClaimCommon
from deepboot.reports.claims.judge import confidences, fewest_seeds
from deepboot.reports.statistics.intervals import clopper_pearson, order_rank
from deepboot.reports.statistics.power import POWER, effect_for_difference, margin_for_equivalence, share_for_count
from deepboot.reports.text import count, measure, percent, plural, setting

Clause = Callable[[Any, int, float], str]
_clauses: dict[str, Clause] = {}
POWERED = f"({percent(POWER)} power)"


def prospects(claims: list[dict[str, Any]], seeds: int) -> list[str]:
    """A line for each claim: what has to hold for so many seeds to settle it, or how many it needs.

    >>> prospects([{"kind": "equivalent", "margin": 0.02}, {"kind": "faster"}], 5)[0]
    'equivalent (margin 0.02): with 5 seeds settled if the spread of the pairs is below 0.0125 (80 % power)'
    >>> prospects([{"kind": "equivalent", "margin": 0.02}, {"kind": "faster"}], 5)[1]
    'faster: needs at least 6 seeds, has 5: cannot be supported'

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    together = zip(claims, fewest_seeds(claims), confidences(claims), strict=True)
    return [f"{heading(claim)}: {_prospect(claim, needed, seeds, level)}" for claim, needed, level in together]


def heading(claim: Mapping[str, Any]) -> str:
    """A claim's kind with the settings and the cells that it names.

    >>> heading({"kind": "rate", "min_rate": 0.5, "where": {"train_size": 1250}, "text": "Most grok."})
    'rate (min_rate 0.5; where train_size 1,250)'
    """
    given = ", ".join(_pairs({key: value for key, value in claim.items() if key not in ClaimCommon.model_fields}))
    where = ", ".join(_pairs(claim.get("where") or {}))
    inside = "; ".join(filter(None, (given, f"where {where}" if where else "")))
    return f"{claim['kind']} ({inside})" if inside else str(claim["kind"])


def _pairs(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} {setting(value)}"


def _prospect(claim: dict[str, Any], needed: int | None, seeds: int, confidence: float) -> str:
    kind = claim["kind"]
    if needed is None:
        return "no number of seeds can settle it"
    if seeds < needed and _clauses.get(kind) is not _share:
        return f"needs {_least(needed)}, has {count(seeds)}: cannot be supported"
    if kind not in _clauses:
        return f"needs {_least(needed)} for an interval; run a few and ask `deepboot plan` again, on their folder"
    given = settings("claim", kind)(
        **{key: value for key, value in claim.items() if key not in ClaimCommon.model_fields}
    )
    short = f"needs {_least(needed)} to be supported; " if seeds < needed else ""
    return f"{short}with {plural(seeds, 'seed')} {_clauses[kind](given, seeds, confidence)}"


def _least(needed: int) -> str:
    return f"at least {plural(needed, 'seed')}"


def _for(*kinds: str) -> Callable[[Clause], Clause]:
    """Decorator that makes a function (settings, seeds, confidence) -> clause the prospect of these kinds."""

    def decorate(clause: Clause) -> Clause:
        _clauses.update(dict.fromkeys(kinds, clause))
        return clause

    return decorate


@_for("equivalent")
def _equivalent(given: Any, n: int, confidence: float) -> str:
    return _within(given.margin, margin_for_equivalence(n, confidence=confidence))


def _mean(given: Any, n: int, confidence: float, items: str) -> str:
    if given.min is not None and given.max is not None and given.min < given.max:
        margin = (given.max - given.min) / 2
        middle = f", around a mean of {measure((given.min + given.max) / 2)}"
        return _within(margin, margin_for_equivalence(n, confidence=(1 + confidence) / 2), middle, items)
    bound = given.min if given.min is not None else given.max
    away = effect_for_difference(n, confidence=confidence)
    return f"settled if the mean is at least {_deviations(away, items)} away from {measure(bound)} {POWERED}"


_for("bootstrap_error", "final_difference")(partial(_mean, items="pairs"))
_for("final_error")(partial(_mean, items="runs"))


@_for("difference")
def _difference(given: Any, n: int, confidence: float) -> str:
    away, bound = _deviations(effect_for_difference(n, confidence=confidence)), measure(given.min_difference)
    return (
        f"supported if the mean is {away} beyond {bound} at a step ({percent(POWER)} power; of many steps a bit more)"
    )


@_for("grokking_delay", "faster")
def _median(given: Any, n: int, confidence: float) -> str:
    out = (order_rank(n, confidence) or 1) - 1
    share = percent(share_for_count(n - out, n))
    side = f"one side of {measure(given.min_ratio)}"
    return f"settled if {_all_but(out, n)} lie on {side} ({percent(POWER)} power where {share} of all runs do)"


@_for("no_delay", "same_memorization")
def _same_median(given: Any, n: int, confidence: float) -> str:
    out = (order_rank(n, 2 * confidence - 1) or 1) - 1
    ends, share = f"{measure(1 / given.max_ratio)} to {measure(given.max_ratio)}", percent(share_for_count(n - out, n))
    return f"supported if {_all_but(out, n)} lie within {ends} ({percent(POWER)} power where {share} of all runs do)"


@_for("rate", "relapse")
def _share(given: Any, n: int, confidence: float) -> str:
    low, high = given.min_rate or 0.0, 1.0 if given.max_rate is None else given.max_rate
    intervals = [clopper_pearson(hits, n, confidence) for hits in range(n + 1)]
    inside = [hits for hits, ends in enumerate(intervals) if low <= ends.low and ends.high <= high]
    outside = [hits for hits, ends in enumerate(intervals) if ends.high < low or ends.low > high]
    said = [f"{verdict} {_hits(found, n)}" for verdict, found in (("supported", inside), ("refuted", outside)) if found]
    return ", ".join(said) or "neither supported nor refuted by any count"


def _within(margin: float, in_sd: float, where: str = "", items: str = "pairs") -> str:
    return f"settled if the spread of the {items} is below {measure(margin / in_sd)}{where} {POWERED}"


def _deviations(effect: float, items: str = "pairs") -> str:
    return f"{effect:.2g} standard deviations of the {items}"


def _all_but(out: int, n: int) -> str:
    return f"{count(n - out)} of {count(n)}" if out else f"all {count(n)}"


def _hits(found: list[int], n: int) -> str:
    """Counts that lead to a verdict, and the true share that gives one of them with power.

    >>> _hits([8], 8), _hits([3, 4], 8)
    ('by 8 of 8 (80 % power at a true share of 97.2 % or more)', 'by 3 to 4 of 8')
    """
    first, last = found[0], found[-1]
    if len(found) < last - first + 1:
        return "by counts at both ends"
    if last == n:
        more = " or more" if first < n else ""
        return f"by {first} of {n}{more} (80 % power at a true share of {percent(share_for_count(first, n))} or more)"
    if first == 0:
        fewer = " or fewer" if last else ""
        return f"by {last} of {n}{fewer} (80 % power at {percent(1 - share_for_count(n - last, n))} or less)"
    return f"by {first} to {last} of {n}"
