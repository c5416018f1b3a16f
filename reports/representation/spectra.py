"""Fourier spectra of layers over Z_p: the frequencies that a network uses, and how they come about in training.

A layer is a function of the token a in 0 … p − 1. Shape letters: P tokens, D features, F frequencies 1 … p // 2.
Source: Nanda et al. 2023, arXiv 2301.05217; PAIR, "Do machine learning models memorize or generalize?", 2023.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layers

HELD = 0.9
SHUFFLES = 199
SIGNIFICANT = 0.05


def fourier_shares(values_PD: ArrayLike) -> NDArray[np.float64]:
    """Share of each frequency k = 1 … p // 2 in the variance over tokens, cos and sin together, (F,), sum 1.

    share_k = w_k Σ_d |Σ_a x_ad exp(−2πi k a / p)|² / (p Σ_ad (x_ad − mean_d)²), with w_k = 2, and 1 at k = p / 2.
    It is the R² of the layer on the cos and sin of that frequency. NaN where nothing varies.

    >>> angle = 2 * np.pi * 3 * np.arange(11) / 11
    >>> fourier_shares(np.stack([np.cos(angle), np.sin(angle)], -1)).round(6).tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    power_F = feature_power(values_PD).sum(1)
    total = power_F.sum()
    return power_F / total if total > 0 else np.full(len(power_F), np.nan)


def feature_power(values_PD: ArrayLike) -> NDArray[np.float64]:
    """Squared deviation from the mean by frequency and feature, (F, D); by Parseval its sum is the layer's."""
    values_PD = np.asarray(values_PD, dtype=float)
    tokens = len(values_PD)
    power_FD = 2 / tokens * np.abs(np.fft.rfft(values_PD - values_PD.mean(0), axis=0)[1:]) ** 2
    if tokens % 2 == 0:
        power_FD[-1] /= 2  # the highest frequency of an even p has a cos only
    return power_FD


def key_frequencies(share_F: ArrayLike, held: float = HELD) -> list[int]:
    """The fewest frequencies that hold this share of the power, the strongest first; none where shares are NaN.

    >>> key_frequencies([0.02, 0.38, 0.55, 0.05])
    [3, 2]
    """
    share_F = np.asarray(share_F, dtype=float)
    if np.isnan(share_F).any():
        return []
    order = np.argsort(-share_F, kind="stable")
    number = int(np.searchsorted(np.cumsum(share_F[order]), held * (1 - 1e-12))) + 1
    return [int(index) + 1 for index in order[:number]]


def participation(share_F: ArrayLike) -> float:
    """The participation ratio 1 / Σ_k share_k²: n where n frequencies have equal power.

    >>> participation([0.5, 0.0, 0.5])
    2.0
    """
    return float(1 / np.sum(np.square(share_F)))


def frequency_p_values(values_PD: ArrayLike, *, shuffles: int = SHUFFLES, seed: int = 0) -> NDArray[np.float64]:
    """P value of every frequency against tokens in random order, (F,), corrected for looking at all frequencies.

    (1 + number of orders whose largest share reaches this one) / (1 + orders): below 0.05, one layer in twenty whose
    tokens are exchangeable shows a frequency by chance.

    Args:
        values_PD: float, (P, D).
        shuffles: random orders.
        seed: of the orders.
    """
    values_PD = np.asarray(values_PD, dtype=float)
    random = np.random.default_rng(seed)
    largest_S = [fourier_shares(random.permutation(values_PD)).max() for _ in range(shuffles)]
    at_least_F = (np.asarray(largest_S)[:, None] >= fourier_shares(values_PD) - 1e-12).sum(0)
    return (1 + at_least_F) / (1 + shuffles)


def spectrum_table(source: Source, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """The spectrum of every layer of every file: ``layer, frequency, share, key`` (among the `key_frequencies`).

    Args:
        source, where, steps: as in `kept.kept_table`.
    """
    return over_kept(source, _spectra, where=where, steps=steps)


def frequency_table(
    source: Source, *, where: Where | None = None, steps: Steps = "all", shuffles: int = SHUFFLES, seed: int = 0
) -> pd.DataFrame:
    """Numbers of frequencies found in every layer of every file, by three rules.

    ``holding_90``: the fewest that hold 90 % of the power; ``participation``: the participation ratio;
    ``significant``: with p ≤ 0.05 by `frequency_p_values`. ``frequencies`` names the significant ones, the strongest
    first. Random weights have many by the first two rules, and none by the third.

    Args:
        source, where, steps: as in `kept.kept_table`.
        shuffles, seed: as in `frequency_p_values`.
    """

    def counts(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        for layer, values_PD in group_layers(weights, run).items():
            share_F = fourier_shares(values_PD)
            found = np.flatnonzero(frequency_p_values(values_PD, shuffles=shuffles, seed=seed) <= SIGNIFICANT)
            strongest = found[np.argsort(-share_F[found], kind="stable")] + 1
            yield {
                "layer": layer,
                "holding_90": len(key_frequencies(share_F)),
                "participation": participation(share_F),
                "significant": len(found),
                "frequencies": ", ".join(map(str, strongest)),
            }

    return over_kept(source, counts, where=where, steps=steps)


def _spectra(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
    for layer, values_PD in group_layers(weights, run).items():
        share_F = fourier_shares(values_PD)
        key = key_frequencies(share_F)
        for frequency, share in enumerate(share_F.tolist(), 1):
            yield {"layer": layer, "frequency": frequency, "share": share, "key": frequency in key}
