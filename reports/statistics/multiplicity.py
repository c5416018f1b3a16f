"""P values of several claims, adjusted for their number.

An adjusted p value is compared with the error itself: at most 0.05 means that the verdict stands at a family-wise
error, or a false discovery rate, of 5 %.
"""

from collections.abc import Sequence

import numpy as np
import scipy


def holm(p_values: Sequence[float]) -> list[float]:
    """P values by which the chance of a single false verdict among all of them is kept, in the order given.

    At most as large as Bonferroni's, and valid however the claims depend on each other. That directions picked by the
    data are kept as well is shown for independent tests only (Shaffer 1980, Annals of Statistics 8, 1342–1347, with
    conditions on their distributions); Bonferroni's intervals of primary claims keep them always.

    Args:
        p_values: in [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65–70.

    >>> holm([0.02, 0.01, 0.5])
    [0.04, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P values by which the expected share of false verdicts among those reached is kept, in the order given.

    For claims that are independent, or depend on each other positively.

    Args:
        p_values: in [0, 1].

    Raises:
        ValueError: a value that is not in [0, 1], or NaN.

    Source: Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57, 289–300.

    >>> benjamini_hochberg([0.02, 0.01, 0.5])
    [0.03, 0.03, 0.5]
    """
    adjusted = scipy.stats.false_discovery_control(np.asarray(p_values, dtype=float), method="bh")
    return [float(value) for value in adjusted]
