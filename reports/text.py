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


def step_interval(low: float, high: float, budget: float) -> str:
    """The step of an event in words: between two evaluations, or beyond the budget.

    >>> step_interval(120, 140, 4000), step_interval(0, 0, 4000), step_interval(4000, math.inf, 4000)
    ('120–140', '0', '> 4,000')
    """
    if math.isnan(low) and math.isnan(high):
        return "–"
    if math.isinf(high):
        return f"> {count(low if math.isfinite(low) else budget)}"
    return count(high) if low == high else f"{count(low)}–{count(high)}"


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
