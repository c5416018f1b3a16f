"""How many seeds a verdict needs, and how wide a margin so many seeds can settle, before any run.

All spreads are standard deviations over seeds of the paired differences, real minus ideal; margins and effects that
are "in sd" are in units of it. Power is the probability of the verdict under the supposed effect. Results for a normal
mean are exact at every number of seeds.
"""

import math
from collections.abc import Callable

import scipy
from scipy import special

from deepboot.reports.statistics.equivalence import check_margin
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.paired import tail

POWER = 0.8  # by default
MOST = 10_000  # seeds tried


def margin_for_equivalence(n: int, power: float = POWER, confidence: float = 0.95) -> float:
    """Smallest margin, in standard deviations of the differences, that n pairs of equal worlds show this often.

    Raises:
        ValueError: n below 3, or power or confidence out of range.

    >>> [round(margin_for_equivalence(n), 2) for n in (3, 5, 8, 10)]
    [2.66, 1.6, 1.15, 1.0]
    """
    _check_pairs(n)
    _check_power(power)
    check_margin(1.0, confidence)
    critical, widest = special.stdtrit(n - 1, confidence), 100 / (1 - power) / (1 - confidence)
    return float(scipy.optimize.brentq(lambda margin: _inside(n, Bounds(-margin, margin), critical) - power, 0, widest))


def effect_for_difference(n: int, power: float = POWER, confidence: float = 0.95) -> float:
    """Smallest distance of the mean from a bound, in standard deviations, that n pairs show this often.

    Raises:
        ValueError: n below 3, or power or confidence out of range.

    >>> [round(effect_for_difference(n), 2) for n in (3, 5, 8, 10)]
    [3.26, 1.68, 1.16, 1.0]
    """
    _check_pairs(n)
    _check_power(power)
    missed = tail(confidence)
    widest = 100 / (1 - power) / missed
    return float(scipy.optimize.brentq(lambda effect: _beyond(n, effect, missed) - power, 0, widest))


def seeds_for_mean(
    region_in_sd: Bounds,
    power: float = POWER,
    confidence: float = 0.95,
    *,
    one_sided: bool = False,
    most: int = MOST,
) -> int | None:
    """Fewest seeds at which a mean's t interval lies wholly in a region, or wholly beside it, this often.

    Which of the two follows from where the mean is: at 0, so a region that does not hold 0 is refuted.

    Args:
        region_in_sd: ends of the region less the mean, over the standard deviation; infinite where not limited.
        power: in (0, 1).
        confidence: of the interval, in (0.5, 1).
        one_sided: whether it is shown to lie inside by two one-sided tests, each at the level 1 − confidence.
        most: largest number tried.

    Raises:
        ValueError: power or confidence out of range.

    >>> seeds_for_mean(Bounds(-1.0, 1.0), one_sided=True), seeds_for_mean(Bounds(1.0, float("inf")))
    (11, 10)
    """
    check_margin(1.0, confidence)
    _check_power(power)
    low, high = region_in_sd
    beside = Bounds(-math.inf, low) if low > 0 else Bounds(high, math.inf) if high < 0 else None
    level = confidence if one_sided and beside is None else (1 + confidence) / 2
    return _fewest(lambda n: _inside(n, beside or region_in_sd, special.stdtrit(n - 1, level)), power, most)


def share_for_count(hits: int, n: int, power: float = POWER) -> float:
    """Smallest true share, in [0, 1], at which at least so many of n runs are hits this often.

    >>> round(share_for_count(8, 8), 3), share_for_count(0, 8)
    (0.972, 0.0)
    """
    return float(special.betaincinv(hits, n - hits + 1, power)) if hits > 0 else 0.0


def largest_spread(n: int, confidence: float = POWER) -> float:
    """By how much the standard deviation of n values may be too small: one-sided bound of true over seen.

    Of normal values, by chi-squared.

    >>> [round(largest_spread(n), 2) for n in (3, 5, 8, 30)]
    [2.12, 1.56, 1.35, 1.14]
    """
    return math.sqrt((n - 1) / (2 * special.gammaincinv((n - 1) / 2, 1 - confidence)))


def largest_unseen(n: int, confidence: float = POWER) -> float:
    """The share of runs that an outcome may have which none of n runs shows: one-sided bound, in (0, 1).

    >>> [round(largest_unseen(n), 2) for n in (3, 8, 30)]
    [0.42, 0.18, 0.05]
    """
    return float(1 - (1 - confidence) ** (1 / n))


def _check_pairs(n: int) -> None:
    if n < T_MIN:
        raise ValueError(f"`n` must be at least {T_MIN}, got {n}. A t interval needs {T_MIN} pairs.")


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise ValueError(f"`power` must be in (0, 1), got {power:g}. For 80 % write 0.8.")


def _fewest(power_at: Callable[[int], float], power: float, most: int) -> int | None:
    """The fewest seeds with this power, which grows with seeds: doubled until reached, then halved in between."""
    short, enough = T_MIN - 1, T_MIN
    while power_at(enough) < power:
        if enough >= most:
            return None
        short, enough = enough, min(2 * enough, most)
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if power_at(middle) >= power else (middle, enough)
    return enough if enough <= most else None


def _inside(n: int, region: Bounds, critical: float) -> float:
    """Exact probability that a mean of 0 has its interval, ± critical standard errors, in a region given in sd.

    Owen's Q, as one integral over the sample's standard deviation.
    """
    df, low, high = n - 1, math.sqrt(n) * region.low, math.sqrt(n) * region.high
    reach = 10 / math.sqrt(2 * df)
    least, largest = max(0.0, 1 - reach), min((high - low) / (2 * critical), 1 + reach)
    scale = math.log(2) + df / 2 * math.log(df / 2) - special.gammaln(df / 2)

    def joint(spread: float) -> float:
        density = math.exp(scale + (df - 1) * math.log(spread) - df * spread**2 / 2) if spread > 0 else 0.0
        return float(special.ndtr(high - critical * spread) - special.ndtr(low + critical * spread)) * density

    return float(scipy.integrate.quad(joint, least, largest)[0]) if least < largest else 0.0


def _beyond(n: int, effect: float, missed: float) -> float:
    """Probability that a two-sided t test rejects at a mean so many sd away, on either side."""
    critical = special.stdtrit(n - 1, 1 - missed / 2)
    return sum(_inside(n, side, critical) for side in (Bounds(-effect, math.inf), Bounds(-math.inf, -effect)))
