"""Circles of a layer over Z_p: the plane of one frequency, and how round and evenly spaced its points lie.

Shape letters: P tokens, D features. Source: Nanda et al. 2023, arXiv 2301.05217; PAIR explorable, 2023.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layer, group_layers, group_tokens
from deepboot.reports.representation.spectra import fourier_shares, key_frequencies


@dataclass(frozen=True)
class Circle:
    """A layer in the plane of one frequency f, and how near it comes to the circle r (cos, sin)(2π f a / p).

    Attributes:
        frequency: f.
        points_P2: the tokens in the plane, turned so that token a of a circle lies at the angle 2π f a / p.
        r_squared: share of the layer's variance that cos and sin of this frequency explain, in [0, 1].
        plane_share: share of the variance that lies in the plane; more than ``r_squared`` where other frequencies
            share it.
        roundness: shorter by longer half axis of the fitted ellipse, in [0, 1]: 1 for a circle, 0 for a line.
        radius_spread: standard deviation of the points' radii by their mean.
        angle_error: root mean square of the points' angles about 2π f a / p, in spacings of 2π / p.
    """

    frequency: int
    points_P2: NDArray[np.float64]
    r_squared: float
    plane_share: float
    roundness: float
    radius_spread: float
    angle_error: float


def circle(values_PD: ArrayLike, frequency: int) -> Circle:
    """The layer in the plane of one frequency.

    The least-squares fit of the centred rows is x_a ≈ u cos(2π f a / p) + v sin(2π f a / p). The plane is that of
    u and v; its axes are the orthonormal pair nearest to them (the polar factor of [u v]).

    Args:
        values_PD: float, (P, D), with D ≥ 2.
        frequency: f in 1 … (p − 1) // 2.

    Raises:
        ValueError: the frequency has no cos and sin over so many tokens, or there is one feature only.
    """
    values_PD = np.asarray(values_PD, dtype=float)
    tokens, features = values_PD.shape
    if not 1 <= frequency <= (tokens - 1) // 2:
        raise ValueError(f"frequency must be in 1 … {(tokens - 1) // 2} over {tokens} tokens, got {frequency}.")
    if features < 2:
        raise ValueError(
            f"a circle needs a layer of at least 2 features, got {features}. Look at its spectrum instead."
        )
    centred_PD = values_PD - values_PD.mean(0)
    angle_P = 2 * np.pi * frequency * np.arange(tokens) / tokens
    fit_D2 = 2 / tokens * centred_PD.T @ np.stack([np.cos(angle_P), np.sin(angle_P)], -1)
    basis_D2, half_axes, turn_22 = np.linalg.svd(fit_D2, full_matrices=False)
    points_P2 = centred_PD @ basis_D2 @ turn_22
    total = np.sum(centred_PD**2)
    radius_P = np.hypot(*points_P2.T)
    with np.errstate(invalid="ignore"):  # a layer that does not vary has no shares
        return Circle(
            frequency=frequency,
            points_P2=points_P2,
            r_squared=float(tokens / 2 * np.sum(fit_D2**2) / total),
            plane_share=float(np.sum(points_P2**2) / total),
            roundness=float(half_axes[1] / half_axes[0]),
            radius_spread=float(radius_P.std() / radius_P.mean()),
            angle_error=_angle_error(points_P2, angle_P),
        )


def key_circles(values_PD: NDArray[np.float64]) -> Iterator[Circle]:
    """The circles of a layer's key frequencies, the strongest first; none of the frequency p / 2, which has no sin."""
    for frequency in key_frequencies(fourier_shares(values_PD)):
        if 2 * frequency < len(values_PD):
            yield circle(values_PD, frequency)


def _angle_error(points_P2: NDArray[np.float64], angle_P: NDArray[np.float64]) -> float:
    """Root mean square of the points' angles about these, in spacings of a circle of as many points."""
    turned_P = (points_P2[:, 0] + 1j * points_P2[:, 1]) * np.exp(-1j * angle_P)
    return float(np.sqrt(np.mean(np.angle(turned_P) ** 2)) * len(angle_P) / (2 * np.pi))


def circle_table(source: Source, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """The circles of every layer's key frequencies, the strongest first: ``layer``, then the scores of `Circle`.

    Args:
        source, where, steps: as in `kept.kept_table`.
    """

    def scores(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        for layer, values_PD in group_layers(weights, run).items():
            for one in key_circles(values_PD):
                row = {name: value for name, value in vars(one).items() if name != "points_P2"}
                yield {"layer": layer, **row}

    return over_kept(source, scores, where=where, steps=steps)


def circle_points(
    source: Source, *, layer: str = "embedding", where: Where | None = None, steps: Steps = "last"
) -> pd.DataFrame:
    """The tokens in the planes of a layer's key frequencies: ``frequency, r_squared, position, token, x, y``.

    Args:
        source, where, steps: as in `kept.kept_table`.
        layer: a name of `layers.token_layers`.
    """

    def points(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        tokens = group_tokens(run).tolist()
        for one in key_circles(group_layer(weights, run, layer)):
            for position, (token, (x, y)) in enumerate(zip(tokens, one.points_P2.tolist(), strict=True)):
                row = {"position": position, "token": token, "x": x, "y": y}
                yield {"frequency": one.frequency, "r_squared": one.r_squared, **row}

    return over_kept(source, points, where=where, steps=steps)
