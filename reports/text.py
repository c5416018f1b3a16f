"""How a number, an interval, a step and an event are written in a report."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Interval = tuple[float, float]  # its low and its high end

PROBE_PREFIX = "probes."  # of columns of evaluations that hold values of probes
SMALL = 100  # below it a count that is not whole is written with three digits
MOST_NAMES = 8  # names that are listed one by one
CLOSE = 1.25  # ratio of two ends up to which what lies between them is written as one number


@dataclass(frozen=True)
class EventWords:
    """The words for one event of a run.

    Attributes:
        noun: as a heading and before "step": "grokking".
        moment: when it happens, after "before": "grokking", "the stopping step".
        verb, verb_singular: after "runs" and after "a run": "grok", "groks".
        reached: in the past: "grokked".
    """

    noun: str
    moment: str
    verb: str
    verb_singular: str
    reached: str

    @property
    def step(self) -> str:
        """Its step: "grokking step"."""
        return f"{self.noun} step"

    @property
    def never(self) -> str:
        """What is written of runs without it: "never grokked"."""
        return f"never {self.reached}"


EVENT_WORDS = {  # by the event's name in the columns of ``runs``, in the order in which a reader asks
    "memorization": EventWords("memorisation", "memorisation", "memorise", "memorises", "memorised"),
    "grokking": EventWords("grokking", "grokking", "grok", "groks", "grokked"),
    "stable": EventWords("stable grokking", "stable grokking", "grok for good", "groks for good", "grokked for good"),
    "stopping": EventWords(
        "stopping",
        "the stopping step",
        "reach the stopping error",
        "reaches the stopping error",
        "reached the stopping error",
    ),
}
EVENTS = tuple(EVENT_WORDS)


def count(value: float) -> str:
    """A step or a count with a separator of thousands; below 100, a fraction (of seconds) keeps three digits.

    >>> count(40000), count(45.52), count(1234.5)
    ('40,000', '45.5', '1,234')
    """
    partial = math.isfinite(value) and abs(value) < SMALL and value != round(value)
    return (f"{value:.3g}" if partial else f"{value:,.0f}").replace("-", "−")


def decimals(interval: Interval) -> int:
    """Decimals to write, by the standard error behind a 95 % interval: two of its digits up to 3.54, else one.

    Source: the rounding rule of the Particle Data Group, Review of Particle Physics.
    """
    low, high = interval
    error = (high - low) / 4
    if not 0 < error < math.inf:
        return 3
    power = math.floor(math.log10(error))
    return min(max(-power + (error / 10**power < 3.55), 0), 8)


def measure(value: float | None, interval: Interval | None = None) -> str:
    """A measurement, rounded by the standard error behind its interval; without an interval, to three digits.

    >>> measure(0.123456), measure(0.123456, (0.1, 0.15))
    ('0.123', '0.123')
    >>> measure(0.5, (0.3, 0.7)), measure(-1e-9, (0.1, 0.15))
    ('0.50', '0.000')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if interval is None:
        return f"{value:.3g}".replace("-", "−")
    rounded = f"{value:.{decimals(interval)}f}"
    return (rounded if float(rounded) else rounded.lstrip("-")).replace("-", "−")


def span(interval: Interval | None) -> str:
    """An interval of measurements, rounded by its own width; an open end is "at least" or "at most".

    >>> span((0.1, 0.15)), span((2.5, float("inf"))), span(None)
    ('0.100 to 0.150', 'at least 2.5', 'no interval')
    """
    if interval is None:
        return "no interval"
    low, high = interval
    if math.isinf(low) and math.isinf(high):
        return "anything"
    if math.isinf(high):
        return f"at least {measure(low)}"
    if math.isinf(low):
        return f"at most {measure(high)}"
    return f"{measure(low, interval)} to {measure(high, interval)}"


def estimate(ends: Interval, interval: Interval | None = None, *, whole: bool = False) -> str:
    """An estimate that is known to lie between two ends; never "a to b", as confidence intervals are written.

    Ends that are close to each other are written as the number between them, and `known_to` says how close they are.

    Args:
        ends: equal where the estimate is one number; the upper one is infinite where it is open.
        interval: its confidence interval, by which the number is rounded.
        whole: whether it is a count, which is written in full.

    >>> estimate((2.0, 2.0)), estimate((6.73, 7.34), (4.8, 11.8)), estimate((0.1, 0.9)), estimate((20, math.inf))
    ('2', 'about 7.0', 'between 0.10 and 0.90', 'more than 20')
    """
    low, high = ends
    finite = interval if interval and all(map(math.isfinite, interval)) else None

    def written(value: float, rounding: Interval | None) -> str:
        return count(value) if whole else measure(value, rounding)

    if math.isnan(low):
        return "–"
    if math.isinf(high):
        return f"more than {written(low, None)}" if math.isfinite(low) and low > 0 else "unknown"
    if low == high:
        return written(low, finite)
    if 0 < low < high <= CLOSE * low:
        middle = math.sqrt(low * high)
        whole_ends = whole and float(low).is_integer() and float(high).is_integer()
        return f"about {written(round(middle) if whole_ends else middle, finite or ends)}"
    return f"between {written(low, ends)} and {written(high, ends)}"


def known_to(ends: Interval) -> str:
    """How closely two ends fix what lies between them, where `estimate` writes one number for both; else empty.

    >>> known_to((120, 130)), known_to((10, 20)), known_to((5, 5))
    ('8.3 %', '', '')
    """
    low, high = ends
    return f"{100 * (high / low - 1):.2g} %" if 0 < low < high <= CLOSE * low else ""


def step_estimate(low: float, high: float, budget: float) -> str:
    """The step of an event in a table: between two evaluations, or beyond the budget.

    >>> step_estimate(120, 140, 4000), step_estimate(0, 0, 4000), step_estimate(4000, math.inf, 4000)
    ('about 130', '0', '> 4,000')
    """
    if math.isinf(high) and not math.isnan(low):
        return f"> {count(low if math.isfinite(low) else budget)}"
    return estimate((low, high), whole=True)


def at_step(low: float, high: float) -> str:
    """The same of a step that is reached, in a sentence.

    >>> at_step(120, 140), at_step(50, 50), at_step(10, 20)
    ('at about step 130', 'at step 50', 'between steps 10 and 20')
    """
    words = estimate((low, high), whole=True)
    for first, beginning in (("about ", "at about step "), ("between ", "between steps ")):
        if words.startswith(first):
            return beginning + words.removeprefix(first)
    return f"at step {words}"


def step_span(low: float, high: float, budget: float) -> str:
    """A confidence interval of a step; an end that falls on a censored run is open.

    >>> step_span(120, 140, 4000), step_span(120, math.inf, 4000), step_span(math.nan, math.nan, 4000)
    ('120 to 140', '120 to > 4,000', 'none')
    """
    if math.isnan(low):
        return "none"
    if math.isinf(low) or (math.isinf(high) and low >= budget):
        return f"> {count(budget)}"
    return f"{count(low)} to {f'> {count(budget)}' if math.isinf(high) else count(high)}"


def setting(value: Any) -> str:
    """A setting's value as a reader would write it.

    >>> setting(50000), setting(0.3), setting(True), setting([0.9, 0.98])
    ('50,000', '0.3', 'true', '[0.9, 0.98]')
    """
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, list | tuple | np.ndarray):
        return f"[{', '.join(setting(part) for part in value)}]"
    if isinstance(value, int | np.integer):
        return count(int(value))
    if isinstance(value, float | np.floating):
        return "none" if math.isnan(value) else f"{value:g}"
    return "none" if value is None or str(value) == "<NA>" else str(value)


def metric_words(metric: str) -> str:
    """A column of ``evaluations`` in words.

    >>> metric_words("test_soft_error"), metric_words("probes.layer_norms.hidden.0.weight")
    ('test soft error', 'probe layer_norms.hidden.0.weight')
    """
    probe = metric.removeprefix(PROBE_PREFIX)
    return metric.replace("_", " ") if probe == metric else f"probe {probe}"


def plural(n: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "pair"), plural(3, "pair")
    ('1 pair', '3 pairs')
    """
    return f"{count(n)} {word if n == 1 else word + 's'}"


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The first names, and how many more there are.

    >>> listed("abc"), listed(map(str, range(10)))
    ('a, b, c', '0, 1, 2, 3, 4, 5, 6, 7 and 2 more')
    """
    names = list(names)
    more = f" and {count(len(names) - MOST_NAMES)} more" if len(names) > MOST_NAMES else ""
    return separator.join(names[:MOST_NAMES]) + more


def percent(confidence: float) -> str:
    """A coverage in percent, to three digits.

    >>> percent(0.95), percent(1 - 0.05 / 3)
    ('95 %', '98.3 %')
    """
    return f"{100 * confidence:.3g} %"
