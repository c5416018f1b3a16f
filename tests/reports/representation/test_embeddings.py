import re

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from deepboot.reports.representation.embeddings import in_space, point_table, principal_components, t_sne
from tests.reports.representation.networks import five_neurons, noise, ring, write_folder


def test_principal_components_are_those_of_the_covariance():
    """Variances and shares are its eigenvalues; a rotation of the layer leaves the picture as it is."""
    values = noise(40, 5) * [5, 3, 1, 0.5, 0.1]
    points, share = principal_components(values)
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    assert points.var(0, ddof=1) == pytest.approx(eigenvalues[:2])
    assert share == pytest.approx(eigenvalues[:2] / eigenvalues.sum())
    turn, _ = np.linalg.qr(noise(5, 5, seed=1))
    assert principal_components(values @ turn)[0] == pytest.approx(points)
    assert np.abs(points).argmax(0).tolist() == points.argmax(0).tolist()


def test_t_sne_keeps_planted_clusters_together():
    """Every point's nearest neighbours in the plane are of its own cluster; the same seed gives the same picture."""
    cluster = np.repeat(np.arange(4), 15)
    values = 6 * noise(4, 20, seed=1)[cluster] + noise(60, 20)
    points = t_sne(values, perplexity=10)
    nearest = np.argsort(cdist(points, points), axis=1)[:, 1:15]
    assert (cluster[nearest] == cluster[:, None]).all()
    assert (t_sne(values, perplexity=10) == points).all()
    assert np.mean(cluster[np.argsort(cdist(noise(60, 2), noise(60, 2)), axis=1)[:, :14]] == cluster[:, None]) < 0.5


def test_spaces_are_named(tmp_path):
    """The weights themselves, two planes, and no other; a perplexity fits the points."""
    values = ring(23, 4, features=6)
    assert in_space(values, "weights") is values
    assert in_space(values, "pca").shape == in_space(values, "t-sne").shape == (23, 2)
    with pytest.raises(ValueError, match=r"^unknown space 'umap'\. Known: weights, pca, t-sne\.$"):
        in_space(values, "umap")
    sentence = "perplexity must be at least 1 and below the 23 points, got 23."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        t_sne(values, perplexity=23)


def test_points_of_a_folder_name_their_tokens(tmp_path):
    """Under multiplication positions follow the powers of a root, and 0 is left out."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons()}, **{"task.operation": "x*y"})
    table = point_table(folder, layer="embedding", space="pca")
    assert table["position"].tolist() == list(range(22))
    assert table["token"].tolist()[:4] == [1, 5, 2, 10]  # 5 is a root modulo 23
