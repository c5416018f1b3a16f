"""Makes ``digits.npz``, the parameters of the task ``digits``: ``python -m deepboot.datasets.fit_digits FILE``.

It needs scikit-learn; the task itself reads only the file.

Shapes: N recorded digits, M of a class, K of a style, D principal directions, 64 pixels.
"""

import sys
from pathlib import Path

import numpy as np

STYLES = 4  # ways to write each digit
DIRECTIONS = 12  # in which a style varies


def fit(x_N64: np.ndarray, y_N: np.ndarray) -> dict[str, np.ndarray]:
    """Per class a mixture of Gaussians: shares, means, principal directions times their spread, residual spread.

    Args:
        x_N64: grey values, 0 to 1.
        y_N: labels, 0 to 9.
    """
    from sklearn.cluster import KMeans

    parameters: dict[str, list[np.ndarray]] = {"share": [], "mean": [], "direction": [], "residual": []}
    for digit in range(10):
        x_M64 = x_N64[y_N == digit]
        style_M = KMeans(STYLES, n_init=4, random_state=0).fit_predict(x_M64)
        for style in range(STYLES):
            part_K64 = x_M64[style_M == style]
            deviation_K64 = part_K64 - part_K64.mean(0)
            _, spread_64, direction_6464 = np.linalg.svd(deviation_K64 / np.sqrt(max(1, len(part_K64) - 1)), False)
            kept_D64 = np.zeros((DIRECTIONS, 64))
            count = min(DIRECTIONS, len(spread_64))
            kept_D64[:count] = spread_64[:count, None] * direction_6464[:count]
            rest_64 = (deviation_K64**2).sum(0) / max(1, len(part_K64) - 1) - (kept_D64**2).sum(0)
            parameters["share"].append(np.array(len(part_K64) / len(x_M64)))
            parameters["mean"].append(part_K64.mean(0))
            parameters["direction"].append(kept_D64)
            parameters["residual"].append(np.sqrt(np.maximum(rest_64, 0)))
    return {
        name: np.stack(values).reshape(10, STYLES, *values[0].shape).astype(np.float16)
        for name, values in parameters.items()
    }


if __name__ == "__main__":
    from sklearn.datasets import load_digits

    images = load_digits()
    np.savez_compressed(Path(sys.argv[1]), **fit(images.data / 16, images.target))  # type: ignore[arg-type]  # of allow_pickle
