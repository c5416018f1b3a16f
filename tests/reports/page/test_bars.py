"""Bars of estimates and intervals against claimed regions."""

import math
import re
from dataclasses import replace

import pytest

from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Effect
from deepboot.reports.page.bars import WIDTH, bar
from deepboot.reports.statistics.intervals import Bounds

EFFECT = Effect("number", Bounds(4, math.inf), 8, "runs", Bounds(6, 6), Bounds(5, 8))
ONE = Judgement({"kind": "rate"}, 1, "a", "real", EFFECT, "supported", "supported", 0.95, False, "")


def drawn(effect):
    """Left and right end of a bar, and of its region, in the drawing."""
    svg = bar([replace(ONE, effect=effect)])
    line = re.search(r'class="interval" d="M([\d.]+) [\d.]+H([\d.]+)', svg)
    region = re.search(r'class="region" x="([\d.]+)" y="0" width="([\d.]+)"', svg)
    left, width = map(float, region.groups())
    return tuple(map(float, line.groups())), (left, left + width)


@pytest.mark.parametrize("interval", [Bounds(5, 8), Bounds(0.001, 3), Bounds(3, 5), Bounds(40, 9000)])
def test_a_bar_is_as_far_in_its_region_as_the_interval(interval):
    """On a linear axis or a logarithmic one, ends lie on the side of the claimed bound on which they are."""
    (left, right), (bound, edge) = drawn(replace(EFFECT, interval=interval, estimate=interval))
    assert 0 <= left < right <= WIDTH
    assert edge == WIDTH - 1
    assert [left >= bound, right >= bound] == [end >= 4 for end in interval]


def test_open_ends_reach_the_edge_with_an_arrow():
    """Of the interval, and of the region."""
    svg = bar([replace(ONE, effect=replace(EFFECT, interval=Bounds(5, math.inf)))])
    assert f"H{WIDTH - 1:.1f}M" in svg
    assert drawn(replace(EFFECT, region=Bounds(-math.inf, 4)))[1][0] == 1.0


def test_numbers_stand_beside_the_bar():
    """The claimed bound below it, all of them in its label; a bound that only leaves out 0 is written as 0."""
    assert 'aria-label="Estimate 6.0, interval 5.0 to 8.0; claimed: at least 4."' in bar([ONE])
    assert re.search(r'<text[^>]*text-anchor="middle">4</text>', bar([ONE]))
    assert ">0</text>" in bar([replace(ONE, effect=replace(EFFECT, region=Bounds(math.nextafter(0, 1), math.inf)))])


def test_many_cells_have_a_row_each_in_the_colour_of_their_verdict():
    """And none without an interval."""
    cells = [replace(ONE, verdict=verdict) for verdict in ("supported", "refuted", "inconclusive")]
    assert re.findall(r'<g class="(\w+)">', bar(cells)) == ["supported", "refuted", "inconclusive"]
    assert bar([replace(ONE, effect=replace(EFFECT, interval=None)), replace(ONE, effect=None)]) == ""
