"""Networks over Z_p whose answer is known, and output folders that hold them."""

import numpy as np
from safetensors.numpy import save_file

from deepboot.bootstrap import results
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS


def ring(tokens, frequency, features=2, radius=1.0, seed=0):
    """The circle r (cos, sin)(2π f a / p), (P, D), in a random plane of D dimensions."""
    angle_P = 2 * np.pi * frequency * np.arange(tokens) / tokens
    flat_P2 = radius * np.stack([np.cos(angle_P), np.sin(angle_P)], -1)
    if features == 2:
        return flat_P2
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(features, 2)))
    return flat_P2 @ basis.T


def noise(tokens, features, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, size=(tokens, features))


def five_neurons(modulus=23, frequency=4, neurons=5, spread=1.0):
    """PAIR's constructed mlp: tied operands on a circle, squares, and logits at the doubled angle.

    Args:
        spread: the angles are ``spread`` · 2π j / n; even at 1.
    """
    theta = spread * 2 * np.pi * np.arange(neurons) / neurons
    table = np.concatenate([ring(modulus, frequency), np.zeros((2, 2))])
    answer = 2 * np.pi * frequency * np.arange(modulus) / modulus
    return {
        "embeddings.0.weight": table.astype(np.float32),
        "hidden.0.weight": np.stack([np.cos(theta), np.sin(theta)], -1).astype(np.float32),
        "output.weight": np.cos(answer[:, None] - 2 * theta).astype(np.float32),
    }


def tied_neurons(modulus=23, frequency=4, neurons=5, features=6):
    """The network of `five_neurons` with its embedding for an output, in a random plane, behind a projection."""
    network = five_neurons(modulus, frequency, neurons)
    basis, _ = np.linalg.qr(noise(features, 2))
    theta = 2 * np.pi * np.arange(neurons) / neurons
    doubled = np.stack([np.cos(2 * theta), np.sin(2 * theta)])
    return {
        "embeddings.0.weight": (network["embeddings.0.weight"] @ basis.T).astype(np.float32),
        "hidden.0.weight": (network["hidden.0.weight"] @ basis.T).astype(np.float32),
        "projection.weight": (basis @ doubled).astype(np.float32),
    }


def accuracy(weights, modulus):
    """Share of all a + b that a network of `five_neurons` answers rightly."""
    hidden = weights["embeddings.0.weight"][:modulus] @ weights["hidden.0.weight"].T
    logits = (hidden[:, None] + hidden) ** 2 @ weights["output.weight"].T
    number = np.arange(modulus)
    return np.mean(logits.argmax(-1) == (number[:, None] + number) % modulus)


ADDITION = {"task": "binary_operations", "task.operation": "x+y", "task.modulus": 23, "model": "mlp"}


def write_folder(folder, kept, **settings):
    """An output folder of runs that kept these weights.

    Args:
        folder: to write into.
        kept: weights by (run_id, step).
        settings: columns of all runs; `ADDITION` where not given.
    """
    (folder / "weights").mkdir(parents=True)
    names = list(dict.fromkeys(run_id for run_id, _ in kept))
    last = {name: max(step for run_id, step in kept if run_id == name) for name in names}
    settings = ADDITION | settings
    runs = [
        {"run_id": name, "cell_id": "c", "world": "real", "seed": seed, "status": "finished", "last_step": last[name]}
        | settings
        for seed, name in enumerate(names)
    ]
    rows = [{"run_id": name, "step": 0, "samples_seen": 0} for name in names]
    results.write_table(results.typed(runs, RUN_COLUMNS), folder / "runs.parquet")
    results.write_table(results.typed(rows, EVALUATION_COLUMNS), folder / "evaluations.parquet")
    (folder / "study.toml").write_text('question = "?"\n')
    for (name, step), weights in kept.items():
        save_file(weights, folder / "weights" / f"{name}-{step}.safetensors")
    return folder
