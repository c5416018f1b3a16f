import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from deepboot.reports import compare
from deepboot.reports.figures import facets
from deepboot.reports.figures.bootstrap_error import draw_bootstrap_error, plot_bootstrap_error
from deepboot.reports.figures.curves import plot_worlds
from deepboot.reports.figures.effect import draw_effects
from deepboot.reports.figures.events import draw_steps, plot_steps
from deepboot.reports.figures.facets import Drawing
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.figures.style import COLORS, mark_step, world_style
from deepboot.reports.figures.worlds import draw_worlds
from deepboot.reports.measures.events import event_times
from deepboot.reports.statistics.intervals import t_interval


def line(ax, gid):
    """The line with that name."""
    return next(line for line in ax.lines if line.get_gid() == gid)


def test_worlds_have_their_colour_and_dash(make_results):
    """Real is solid, ideal dashed, each in its own colour, and both means carry the world's name."""
    ax = plot_worlds(compare(make_results(seeds=3)).curves(), metric="test_error")
    means = {line.get_label(): line for line in ax.lines if line.get_label() in COLORS}
    assert {world: to_hex(line.get_color()) for world, line in means.items()} == COLORS
    assert means["real"].get_linestyle() == "-"
    assert means["ideal"].get_linestyle() == "--"


def test_every_seed_and_the_mean_are_drawn(make_results):
    """A thin line per run holds its evaluations, the thick one their mean."""
    curves = compare(make_results(seeds=3)).curves()
    ax = plot_worlds(curves, metric="test_error")
    real = curves[curves["world"] == "real"]
    for run_id, rows in real.groupby("run_id"):
        drawn = line(ax, f"seed {run_id}")
        assert np.array_equal(drawn.get_xdata(), rows["step"])
        assert np.array_equal(drawn.get_ydata(), rows["test_error"])
    mean = next(line for line in ax.lines if line.get_label() == "real")
    assert mean.get_ydata() == pytest.approx(real.groupby("step")["test_error"].mean())
    assert mean.get_linewidth() > 2 * drawn.get_linewidth()


def test_mean_ends_where_a_seed_diverges(make_results):
    """A mean over the survivors would be another quantity; a cross marks the end of the run."""
    curves = compare(make_results(seeds=4, diverged=(2,))).curves()
    ax = plot_worlds(curves, metric="test_error")
    mean = next(line for line in ax.lines if line.get_label() == "real")
    last = curves.loc[curves["run_id"] == "real-0.3-750-2"].dropna(subset="test_error")["step"].max()
    assert mean.get_xdata()[-1] == last
    assert line(ax, "diverged real-0.3-750-2").get_xdata() == [last]


def test_axes_have_step_zero_units_and_the_first_reuse(make_results):
    """The step axis is logarithmic with a place for step 0, and the reuse is marked."""
    ax = plot_worlds(compare(make_results(seeds=2)).curves(), metric="test_soft_error")
    assert ax.get_xscale() == "symlog"
    assert ax.get_xlim()[0] < 0
    assert ax.get_xlabel() == "step (optimiser updates)"
    assert ax.get_ylabel() == "test soft error (share)"
    assert line(ax, "first reuse").get_xdata() == [7, 7]


def test_bootstrap_error_has_a_zero_line_and_its_band(make_results):
    """The band is the paired t interval of the mean at each step."""
    table = compare(make_results(seeds=4)).bootstrap_error().assign(first_reuse_step=7, stopping_step=134)
    ax = plot_bootstrap_error(table)
    assert line(ax, "zero").get_ydata() == [0, 0]
    assert line(ax, "first reuse").get_xdata() == [7, 7]
    assert line(ax, "stopping").get_xdata() == [134, 134]
    band = ax.collections[0].get_paths()[0].vertices
    step = table["step"].unique()[60]
    expected = t_interval(table.loc[table["step"] == step, "bootstrap_error"])
    assert (band[band[:, 0] == step, 1].min(), band[band[:, 0] == step, 1].max()) == pytest.approx(expected)


def test_names_of_steps_lie_inside_the_axes(make_results):
    """Beside their lines, on the left of one that is near the end."""
    table = compare(make_results(seeds=4)).bootstrap_error()
    ax = plot_bootstrap_error(table.assign(first_reuse_step=7, stopping_step=table["step"].max()))
    ax.figure.draw_without_rendering()
    frame = ax.get_window_extent()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 2
    assert all(frame.x0 < box.x0 < box.x1 < frame.x1 for box in boxes)


def test_two_seeds_have_no_band(make_results):
    """Below three there is no interval to draw."""
    assert not plot_worlds(compare(make_results(seeds=2)).curves(), metric="test_error").collections


def test_steps_show_reached_censored_and_diverged_runs_apart(make_results):
    """Filled at the evaluation that shows it, open at the budget, crossed beyond."""
    ax = plot_steps(event_times(compare(make_results(seeds=4, censored=(1,), diverged=(2,)))))
    reached, censored, diverged = (line(ax, f"grokking real-0.3-750-{seed}") for seed in (0, 1, 2))
    assert reached.get_markerfacecolor() == COLORS["real"]
    assert (censored.get_xdata(), censored.get_markerfacecolor()) == ([4000], "white")
    assert diverged.get_marker() == "x"
    assert diverged.get_xdata()[0] > 4000


def test_other_rules_have_a_look_of_their_own():
    """Two further rules differ from each other and from the two worlds."""
    worlds = ["ideal", "real", "sliding", "fresh"]
    assert len({world_style(world, worlds)[0] for world in worlds}) == 4
    assert len({str(world_style(world, worlds)[1]) for world in worlds}) == 4


def test_a_rule_looks_the_same_in_every_panel(make_results):
    """Its look is decided by all worlds of the figure, not by those of its panel."""
    curves = compare(make_results(seeds=1, world="sliding")).curves()
    worlds = ["real", "fresh", "sliding", "ideal"]
    ax = plot_worlds(curves, metric="test_error", worlds=worlds)
    drawn = next(line for line in ax.lines if line.get_label() == "sliding")
    assert drawn.get_color() == world_style("sliding", worlds)[0] != world_style("sliding", ["sliding"])[0]


def test_captions_name_n_and_the_band(make_results):
    """A reader sees how many runs there are and what the band is."""
    comparison = compare(make_results(seeds=3))
    caption = draw_worlds(comparison, "test_error", event_times(comparison)).caption
    assert "3 real and 3 ideal runs" in caption
    assert "The band is the 95 % t interval of the mean at each step" in caption
    assert "3 pairs" in draw_bootstrap_error(comparison).caption
    assert "3 real and 3 ideal runs" in draw_steps(comparison).caption


def test_of_a_great_many_runs_some_are_drawn_one_by_one_and_the_caption_says_so(make_results, monkeypatch):
    """The mean is that of all of them."""
    comparison = compare(make_results(seeds=5))
    whole = plot_worlds(comparison.curves(), metric="test_error")
    monkeypatch.setattr(facets, "MOST_SINGLE", 2)
    ax = plot_worlds(comparison.curves(), metric="test_error")
    assert [sum(str(line.get_gid()).startswith("seed ") for line in one.lines) for one in (whole, ax)] == [10, 4]
    means = [next(line for line in one.lines if line.get_label() == "real").get_ydata() for one in (whole, ax)]
    assert np.array_equal(*means)
    caption = draw_worlds(comparison, "test_error", event_times(comparison)).caption
    assert "At most 2 runs of a world are drawn one by one; means, medians and intervals are of all." in caption


def test_many_cells_show_the_first_six_and_say_so(make_results):
    """The others are left to the tables."""
    comparison = compare(make_results(1, tuple(range(100, 900, 100)), evaluations=8))
    drawing = draw_worlds(comparison, "test_error", event_times(comparison))
    assert drawing.caption.endswith("The first 6 of 8 cells are drawn; the others are in the tables.")
    assert "train_size 600" in drawing.svg.decode()
    assert "train_size 700" not in drawing.svg.decode()


def test_chance_is_a_dotted_line_where_the_number_of_labels_is_known(make_results):
    """Each panel has its task's, with a legend and a caption; losses, old tables and real-valued labels have none."""
    results = make_results(seeds=2, train_sizes=(500, 750), evaluations=12)
    times = event_times(compare(results))
    cell = results.runs["cell_id"]
    results.runs["facts.classes"] = np.where(cell == "real-0.3-500", 10, np.where(cell == "real-0.3-750", 4, np.nan))
    drawing = draw_worlds(compare(results), "test_error", times)
    named = zip(drawing.figure.axes, ("chance", "chance (2)"), strict=True)
    assert [line(ax, name).get_ydata()[0] for ax, name in named] == pytest.approx([0.9, 0.75])
    assert "chance" in [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert "chance, the error of guessing evenly" in drawing.caption
    for classes, metric in ((10, "test_loss"), (1, "test_error"), (None, "test_error")):
        results.runs["facts.classes"] = classes
        other = draw_worlds(compare(results), metric, times)
        assert "chance" not in other.caption
        assert "chance" not in [one.get_gid() for one in other.figure.axes[0].lines]


def test_a_dollar_in_a_name_is_a_dollar(make_results):
    """A setting's value is drawn as it is written, and never read as a formula; long steps have no raised powers."""
    results = make_results(seeds=1, train_sizes=(500, 750), evaluations=8, budget=400_000)
    cell = results.runs["cell_id"].astype(str)
    results.runs["task.path"] = np.where(cell.str.endswith("500"), "$$x$$", r"$\\oops{$")
    results.runs["train_size"] = 500
    drawing = draw_worlds(compare(results), "test_error", event_times(compare(results)))
    assert "$$x$$</text>" in drawing.svg.decode()
    assert "100k</text>" in drawing.svg.decode()
    assert "10⁵" not in drawing.svg.decode()


def test_drawings_are_deterministic_with_text_as_text(make_results):
    """The same results give the same bytes, words can be searched, and identifiers differ between figures."""
    first, second = (draw_all(compare(make_results(seeds=2, evaluations=20))) for _ in range(2))
    names = ["test_error", "test_soft_error", "bootstrap_error", "steps", "delays", "survival"]
    assert [drawing.name for drawing in first] == names
    assert [drawing.svg for drawing in first] == [drawing.svg for drawing in second]
    assert [drawing.pdf() for drawing in first] == [drawing.pdf() for drawing in second]
    assert "first reuse</text>" in first[0].inline
    assert 'id="test_error-first reuse"' in first[0].inline
    assert first[0].inline.startswith("<svg viewBox=")


def test_identifiers_are_unique_in_a_page_of_many_cells(make_results):
    """Marks with one name in several panels are numbered."""
    claims = ({"kind": "equivalent", "margin": 0.1},)
    results = make_results(seeds=6, train_sizes=(500, 750), diverged=(1,), claims=claims, evaluations=30)
    page = "".join(drawing.inline for drawing in draw_all(compare(results)))
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))
    assert "bootstrap_error-first reuse (2)" in names


def test_letters_have_one_size_in_narrow_figures(make_results):
    """A figure that is less wide than the page takes its share of the page's width."""
    results = make_results(seeds=2, train_sizes=(500, 750), evaluations=12)
    first = draw_effects(compare(results))[0]
    assert re.search(r'<svg viewBox="[^"]*" role="img" aria-label="[^"]*" style="--share: 0.46">', first.narrow.inline)
    assert re.search(r'<svg viewBox="[^"]*" role="img" aria-label="[^"]*" style="--share: 1.00">', first.inline)
    assert f'aria-label="{first.label}"' in first.narrow.inline
    assert first.caption.startswith(f"{first.label} ")
    assert Drawing("a", 'A "quoted" <b>. More.', b"", first.figure).label == "A &quot;quoted&quot; &lt;b&gt;."


@pytest.mark.parametrize(("columns", "side"), [(1, "left"), (3, "right")])
def test_the_name_of_a_step_is_where_it_has_room(columns, side):
    """A line that a wide panel has room beside stands too near to the end of a narrow one."""
    ax = Figure(figsize=(7.2, 3.3)).subplots(1, columns, squeeze=False)[0, 0]
    ax.set(xlim=(0, 10), ylim=(0, 1))
    mark_step(ax, pd.Series([7.5]), "first reuse")
    (name,) = ax.texts
    assert name.get_ha() == side


def test_lines_in_a_page_pass_within_a_tenth_of_a_point_of_all_places():
    """Of curves and of bands, which go back: what is left out lies on the straight line between what is kept."""
    random = np.random.default_rng(0)
    for _ in range(20):
        across = np.sort(random.choice(2_000, 60, replace=False))
        up = np.where(random.random(60) < 0.8, random.integers(0, 3, 60), random.integers(0, 300, 60))
        there = list(zip(across.tolist(), up.tolist(), strict=True))
        band = [*there, *((x, y + 400) for x, y in reversed(there))]
        kept = facets._corners(band)
        assert len(kept) < len(band)
        index = [band.index(place) for place in kept]
        assert (index[0], index[-1]) == (0, len(band) - 1)
        for first, last in pairwise(index):
            (x, y), (to_x, to_y) = band[first], band[last]
            for between_x, between_y in band[first + 1 : last]:
                assert min(x, to_x) < between_x < max(x, to_x)
                assert abs(y + (to_y - y) * (between_x - x) / (to_x - x) - between_y) <= 1 + 1e-9
