"""Between two kept steps of a run, on networks whose answer is known."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tomli_w

from deepboot.reports.representation.interpolation import barrier
from deepboot.runners import interpolate, run_study

STUDY = {
    "question": "What lies between two steps of a linear student?",
    "task": {"name": "gaussian", "dimensions": 8, "spikes": 0, "bulk_variance": 1.0},
    "model": {"name": "mlp", "depth": 0, "bias": False},
    "loss": {"name": "mse"},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "training": {"train_size": 6, "batch_size": "full", "max_steps": 64, "seeds": 2, "dtype": "float64"},
    "keep": {"weights": "evaluations"},
}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    (folder / "line.toml").write_text(tomli_w.dumps(STUDY))
    return run_study(folder / "line.toml", folder / "out", workers=1, device="cpu")


def quadratic(start, middle, end, share):
    """The parabola through the values at 0, 1/2 and 1."""
    return start * (1 - share) * (1 - 2 * share) + 4 * middle * share * (1 - share) + end * share * (2 * share - 1)


def test_the_loss_of_a_linear_network_is_quadratic_on_the_line(results):
    """On the pool and on the exact test set; the ends are the evaluations of those steps, and nothing rises between."""
    table = interpolate(results, seed=1, steps=(2, 64), shares=SHARES)
    assert table["share"].tolist() == list(SHARES)
    evaluations = results.evaluations.merge(results.runs[["run_id", "seed", "world"]], on="run_id")
    evaluations = evaluations[(evaluations["seed"] == 1) & (evaluations["world"] == "real")].set_index("step")
    for name in ("train_loss", "test_loss", "train_error", "test_error"):
        values = table[name].to_numpy()
        assert values[[0, -1]] == pytest.approx(evaluations.loc[[2, 64], name].to_numpy(float), rel=1e-12)
        expected = quadratic(values[0], values[2], values[4], np.array([0.25, 0.75]))
        assert values[[1, 3]] == pytest.approx(expected, rel=1e-9)
        assert barrier(table["share"], values) == 0


def test_the_curvature_on_the_line_is_the_squared_way(results):
    """The exact test loss is |w − b|², so that its second difference is twice the squared distance of both weights."""
    table = interpolate(results, seed=0, world="ideal", steps=(2, 64), shares=SHARES)
    assert "train_loss" not in table  # the ideal world has no pool
    first, second = (results.weights(seed=0, world="ideal", step=step)["output.weight"] for step in (2, 64))
    second_difference = np.diff(table["test_loss"], n=2) / 0.25**2
    assert second_difference == pytest.approx(2 * np.sum((second - first) ** 2), rel=1e-6)


def test_what_was_not_kept_or_is_no_longer_planned_is_refused(results):
    """A step without weights, and a run that the study of its folder does not have any more."""
    with pytest.raises(ValueError, match=r"^no weights were kept at step 999\. Kept: 0, 1, 2"):
        interpolate(results, seed=0, steps=(999, 64))
    other = replace(results, study={**results.study, "optimizer": {"name": "sgd", "lr": 0.1}})
    sentence = (
        f"among those of the study in {results.folder}, which plans others: it, a plugin or the meaning of its "
        "settings was changed since. Run the study again into a new folder."
    )
    with pytest.raises(ValueError, match=f"^expected run [0-9a-f]+ {re.escape(sentence)}$"):
        interpolate(other, seed=0, steps=(2, 64))
