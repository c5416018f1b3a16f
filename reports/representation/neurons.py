"""Hidden units of a network over Z_p: their norms, their frequency, and the evenness of their angles.

In the constructed network unit j answers to cos(2π f a / p − θ_j) + cos(2π f b / p − θ_j), squares it, and sends it to
the logits as cos(2π f c / p − 2 θ_j), with n = 3 or n ≥ 5 units at θ_j = 2π j / n. Here "phase" is θ_j.
Shape letters: P tokens, H units, F frequencies, N units of one frequency.
Source: PAIR, "Do machine learning models memorize or generalize?", 2023; Gromov 2023, arXiv 2301.02679.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.bootstrap.output_weights import output_weights
from deepboot.reports.representation.kept import KEYS, Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layers, group_size
from deepboot.reports.representation.spectra import feature_power

OF_ONE_FREQUENCY = 0.5  # least share of a unit's power for it to count as of its frequency


def phases(values_PH: ArrayLike, frequency: int) -> NDArray[np.float64]:
    """The θ of every column's part r cos(2π f a / p − θ) at one frequency, radians in (−π, π], (H,).

    Under the embedding (cos, sin)(2π f a / p) this is the atan2 of a unit's two input weights.

    >>> angle = 2 * np.pi * 2 * np.arange(7) / 7
    >>> phases(np.cos(angle - 0.5)[:, None], 2).round(6).tolist()
    [0.5]
    """
    return np.asarray(-np.angle(np.fft.fft(np.asarray(values_PH, dtype=float), axis=0)[frequency]))


def largest_gap(angle_N: ArrayLike) -> float:
    """The largest gap between neighbours on the circle, in multiples of 2π / n: 1 where angles are even, n where equal.

    >>> round(largest_gap([0.0, 2 * np.pi / 3, -2 * np.pi / 3]), 6), round(largest_gap([0.0, np.pi / 2]), 6)
    (1.0, 1.5)
    """
    turn = 2 * np.pi
    sorted_N = np.sort(np.mod(np.asarray(angle_N, dtype=float), turn))
    gap_N = np.diff(sorted_N, append=sorted_N[:1] + turn)
    return float(gap_N.max() * len(sorted_N) / turn)


def resultant(angle_N: ArrayLike, harmonic: int = 1) -> float:
    """Length of the mean of exp(i m θ), in [0, 1], at the harmonic m.

    For n even angles it is 0 at every m that is no multiple of n, and 1 at m = n; for n independent uniform ones
    about 0.89 / √n at every m.
    """
    return float(np.abs(np.exp(1j * harmonic * np.asarray(angle_N, dtype=float)).mean()))


def neuron_table(source: Source, *, where: Where | None = None, steps: Steps = "last") -> pd.DataFrame:
    """A row per hidden unit of an mlp with one hidden layer.

    Columns: ``neuron``; ``input_norm, output_norm``, of its weights from the embeddings and to the logits;
    ``frequency``, of the largest power in its input, and ``frequency_share``, its share of it; ``phase``, at this
    frequency, of the first operand, and ``output_phase``; ``phase_error``, the output's phase less the sum of both
    operands', in (−π, π]: 0 in the constructed network.

    Args:
        source, where, steps: as in `kept.kept_table`.
    """
    return over_kept(source, _neurons, where=where, steps=steps)


def evenness_table(source: Source, *, where: Where | None = None, steps: Steps = "last") -> pd.DataFrame:
    """How evenly the units of each frequency are spread: ``frequency, neurons``, then norms and angles.

    Units whose largest frequency holds less than half of their power are left out. ``input_spread, output_spread``:
    standard deviation of the norms by their mean. ``gap, output_gap``: `largest_gap` of the phases, and
    of the output's: under a square θ and θ + π are one unit, so that only doubled angles must be even.
    ``resultant, resultant_2, resultant_n``: `resultant` of the phases at the harmonics 1, 2 and n.

    Args:
        source, where, steps: as in `kept.kept_table`.
    """
    units = neuron_table(source, where=where, steps=steps)
    clear = units[units["frequency_share"] >= OF_ONE_FREQUENCY]
    names = [*KEYS, "frequency"]
    groups = clear.groupby(names, sort=False, dropna=False)
    rows = [dict(zip(names, values, strict=True)) | _evenness(group) for values, group in groups]
    return pd.DataFrame(rows, columns=None if rows else names).astype(KEYS)


def _neurons(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
    if "hidden.0.weight" not in weights or "hidden.1.weight" in weights:
        raise ValueError(
            f"neurons need an mlp with one hidden layer, got model {run['model']!r} with {', '.join(weights)}. "
            "Choose runs with `where`."
        )
    layers, output_VH = group_layers(weights, run), output_weights(weights)
    assert output_VH is not None  # it is among these layers
    inputs = [layer_PH for name, layer_PH in layers.items() if name.startswith("input")]
    operands = inputs if len(inputs) > 1 else inputs * 2
    power_FH = np.sum([feature_power(input_PH) for input_PH in inputs], axis=0)
    frequency_H = power_FH.argmax(0) + 1
    norms = {
        "input_norm": np.linalg.norm(weights["hidden.0.weight"], axis=1),
        "output_norm": np.linalg.norm(output_VH[: group_size(run)], axis=0),
        "frequency_share": power_FH.max(0) / power_FH.sum(0),
    }
    for neuron, frequency in enumerate(frequency_H.tolist()):
        operand_phases = [phases(input_PH[:, neuron], frequency) for input_PH in operands]
        output_phase = phases(layers["output"][:, neuron], frequency)
        yield {
            "neuron": neuron,
            **{name: float(value_H[neuron]) for name, value_H in norms.items()},
            "frequency": frequency,
            "phase": float(operand_phases[0]),
            "output_phase": float(output_phase),
            "phase_error": float(np.angle(np.exp(1j * (output_phase - sum(operand_phases))))),
        }


def _evenness(units: pd.DataFrame) -> Row:
    """The evenness of the units of one frequency."""
    angles = units["phase"].to_numpy()
    return {
        "neurons": len(units),
        "input_spread": units["input_norm"].std(ddof=0) / units["input_norm"].mean(),
        "output_spread": units["output_norm"].std(ddof=0) / units["output_norm"].mean(),
        "gap": largest_gap(angles),
        "output_gap": largest_gap(units["output_phase"]),
        "resultant": resultant(angles),
        "resultant_2": resultant(angles, 2),
        "resultant_n": resultant(angles, len(units)),
    }
