import re

import numpy as np
import pytest

from deepboot.reports.representation.circles import circle, circle_points, circle_table
from tests.reports.representation.networks import five_neurons, noise, ring, write_folder


def test_a_circle_is_found_where_it_is():
    """All variance in the plane, round, evenly spaced, and every token at its angle."""
    found = circle(ring(29, 6, features=9, radius=2.5) + 1, 6)
    assert (found.r_squared, found.plane_share, found.roundness) == pytest.approx((1, 1, 1))
    assert (found.radius_spread, found.angle_error) == pytest.approx((0, 0), abs=1e-6)
    assert found.points_P2 == pytest.approx(ring(29, 6, radius=2.5))


def test_an_ellipse_is_not_round():
    """Half axes of 3 and 1 give a roundness of a third, though one frequency explains everything."""
    found = circle(ring(29, 2) * [3, 1], 2)
    assert found.roundness == pytest.approx(1 / 3)
    assert found.r_squared == pytest.approx(1)
    assert found.radius_spread > 0.2


def test_two_frequencies_in_one_plane_are_told_apart():
    """The plane holds everything; each frequency explains its own part, and points leave their places."""
    both = ring(31, 3) + 0.5 * ring(31, 8)
    found = circle(both, 3)
    assert found.plane_share == pytest.approx(1)
    assert found.r_squared == pytest.approx(0.8)
    assert found.angle_error > 1


def test_random_points_are_no_circle():
    """One frequency of 28 explains a little, and tokens are anywhere; the wrong frequency of a circle nothing."""
    found = circle(noise(57, 40), 9)
    assert found.r_squared < 0.08
    assert found.angle_error > 3
    assert circle(ring(57, 8, features=5), 9).r_squared == pytest.approx(0, abs=1e-12)


def test_circles_that_cannot_be_are_refused():
    """A frequency without a sin, and a line."""
    with pytest.raises(ValueError, match=f"^{re.escape('frequency must be in 1 … 11 over 24 tokens, got 12.')}$"):
        circle(noise(24, 3), 12)
    sentence = "a circle needs a layer of at least 2 features, got 1. Look at its spectrum instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        circle(noise(24, 1), 2)


def test_circles_of_a_folder(tmp_path):
    """The constructed network has a perfect circle of frequency 4 in each layer; its points are the embedding."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons()})
    table = circle_table(folder)
    assert table["layer"].tolist() == ["embedding", "input", "output"]
    assert set(table["frequency"]) == {4}
    assert table["roundness"].to_numpy() == pytest.approx(1)
    points = circle_points(folder)
    assert np.array(points[["x", "y"]]) == pytest.approx(ring(23, 4), abs=1e-6)
    assert points["token"].tolist() == list(range(23))
