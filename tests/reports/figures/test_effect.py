"""Effects of swept settings: which is where, censored runs as such, and every cell drawn."""

import dataclasses
import math

import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.figures.effect import Layout, _grokking, draw_effects, layout_of
from deepboot.reports.figures.effect_marks import plot_grokking, plot_means
from deepboot.reports.figures.style import COLORS, DASHES, GAP_COLOR, GREY, new_axes
from deepboot.reports.figures.theme import MARKERS, tone
from deepboot.reports.statistics.intervals import median_bounds

STYLES = {world: (COLORS[world], DASHES[world]) for world in ("real", "ideal")}


def test_the_first_number_is_across_the_second_setting_coloured_the_rest_panels(make_results):
    """Names, such as an optimizer's, go across only where nothing else was swept."""
    results = make_results(1, (250, 500), decays=(0.1, 0.3), evaluations=8)
    assert layout_of(compare(results)) == Layout("train_size", "optimizer.weight_decay", ())
    runs = results.runs.assign(**{"model.depth": (results.runs["seed"] * 0 + 1).astype("Int64")})
    runs["model"] = ["mlp" if size == 250 else "transformer" for size in runs["train_size"].fillna(250)]
    named = dataclasses.replace(results, runs=runs.assign(train_size=runs["train_size"].where(runs["world"] == "x")))
    assert layout_of(compare(named)) == Layout("optimizer.weight_decay", "model", ())
    assert layout_of(compare(make_results(1, evaluations=8))) is None


def test_a_study_without_sweep_has_no_effect_plot(make_results):
    """Its curves answer instead."""
    assert draw_effects(compare(make_results(2, evaluations=8))) == []


def test_a_cell_that_lacks_the_swept_setting_has_a_place_of_its_own(make_results):
    """A run that is left free stands beside one that is held."""
    results = make_results(2, decays=(0.1, 0.3), evaluations=8)
    decay = results.runs["optimizer.weight_decay"]
    runs = results.runs.assign(**{"optimizer.weight_decay": decay.where(decay > 0.2)})
    ax = draw_effects(compare(dataclasses.replace(results, runs=runs)))[0].figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["none", "0.3"]


def test_grokking_steps_with_censored_runs_at_the_budget(make_results):
    """Open triangles for the runs that never grok, and the medians of all runs on the line."""
    comparison = compare(make_results(8, (250, 500), censored=(1, 5), budget=4000))
    table = _grokking(comparison, Layout("train_size", None, ()))
    ax = plot_grokking(table, colors=[""], styles=STYLES, ax=new_axes())
    never = [line for line in ax.lines if line.get_gid() == "never" and len(line.get_xdata())]
    assert sum(len(line.get_ydata()) for line in never) == (table["outcome"] == "censored").sum() >= 4
    assert {float(step) for line in never for step in line.get_ydata()} == {4000.0}
    assert all(line.get_markerfacecolor() == "none" for line in never)
    medians = next(line for line in ax.lines if line.get_linestyle() == "-" and line.get_marker() == "o")
    real = table[table["world"] == "real"].groupby("x")
    bounds = {size: median_bounds(rows["low"], rows["high"]) for size, rows in real}
    reached = {size: math.sqrt(one.low * one.high) for size, one in bounds.items() if math.isfinite(one.high)}
    assert len(reached) >= 1
    assert dict(zip(*medians.get_data(), strict=True)) == pytest.approx(reached)


@pytest.mark.parametrize(("more", "joined"), [(0.0, True), (0.4, False)])
def test_a_caption_names_what_is_drawn(make_results, more, joined):
    """No line is joined where every decay has one size only."""
    results = make_results(3, (250, 500), decays=(0.1, 0.3), evaluations=8)
    decay, large = results.runs["optimizer.weight_decay"], results.runs["train_size"].fillna(250) > 250
    runs = results.runs.assign(**{"optimizer.weight_decay": decay + more * large.astype(float)})
    drawings = draw_effects(compare(dataclasses.replace(results, runs=runs)))
    means = next(one for one in drawings if one.name == "effect_final_error")
    lines = [line for ax in means.figure.axes for line in ax.lines if line.get_marker() in MARKERS]
    assert any(len(line.get_xdata()) > 1 for line in lines if line.get_linestyle() != "None") == joined
    assert ("joined" in means.caption) == joined
    assert ("bump" in means.caption) == joined


def test_a_caption_names_the_runs_that_never_grok(make_results):
    """Where there are some."""
    comparison = compare(make_results(8, (250, 500), censored=(1, 5), budget=4000))
    captions = [one.caption for one in draw_effects(comparison) if one.name == "effect_grokking"]
    assert "Open triangles are runs that had not grokked by their last step" in captions[0]
    captions = [one.caption for one in draw_effects(compare(make_results(8, (2000, 4000))))]
    assert "riangle" not in "".join(captions)


def test_every_cell_is_in_the_effect_plots(make_results):
    """Errors of both worlds and of pairs at each swept size; where none groks, errors come first."""
    sizes = tuple(range(100, 1000, 100))
    comparison = compare(make_results(3, sizes, evaluations=40))
    names = [drawing.name for drawing in draw_effects(comparison)]
    assert names == ["effect_grokking", "effect_bootstrap_error", "effect_final_error"]
    ax = draw_effects(comparison)[2].figure.axes[0]
    assert ax.get_xticks().tolist() == list(sizes)
    assert {line.get_color() for line in draw_effects(comparison)[1].figure.axes[0].lines} == {GAP_COLOR, GREY}
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels[:5] == ["100", "200", "300", "400", "500"]
    assert "" in labels[5:]  # those that would lie over the one before them
    narrow = [drawing.narrow and drawing.narrow.name for drawing in draw_effects(comparison)]
    assert narrow == ["effect_grokking-narrow", None, None]  # the first figure of a page, for a telephone
    never = comparison.runs.assign(grokking_high=comparison.runs["grokking_high"].where(comparison.runs["seed"] > 9))
    assert draw_effects(dataclasses.replace(comparison, runs=never))[0].name == "effect_final_error"


@pytest.mark.parametrize(
    ("claims", "first"),
    [
        ([{"kind": "final_error", "max": 0.1}, {"kind": "faster", "min_ratio": 2.0},
          {"kind": "final_error", "max": 0.2}], "effect_final_error"),
        ([{"kind": "trend", "over": "train_size", "direction": "falls", "event": "final_error"}], "effect_final_error"),
        ([{"kind": "trend", "over": "train_size", "direction": "falls"}], "effect_grokking"),
        ([{"kind": "final_error", "max": 0.1}, {"kind": "bootstrap_error", "max": 0.1, "at": "end"},
          {"kind": "equivalent", "margin": 0.1, "primary": True}], "effect_bootstrap_error"),
        ([{"kind": "final_error", "max": 0.1}, {"kind": "faster", "min_ratio": 2.0},
          {"kind": "rate", "min_rate": 0.5}], "effect_final_error"),
    ],
)  # fmt: skip
def test_the_effect_that_the_answer_speaks_of_comes_first(make_results, claims, first):
    """That of the first primary claim or of the first of all; the claims of a trend by the event that it names."""
    assert draw_effects(compare(make_results(3, (100, 200), evaluations=40, claims=claims)))[0].name == first


def test_hue_and_dash_are_a_world_tone_and_marker_a_value(make_results):
    """No colour means two things, in lines and in the legend, where values have tones of grey."""
    comparison = compare(make_results(3, (250, 500), decays=(0.1, 0.3), evaluations=8))
    drawing = next(one for one in draw_effects(comparison) if one.name == "effect_final_error")
    lines = [
        line
        for line in drawing.figure.axes[0].lines
        if line.get_linestyle() in ("-", "--") and line.get_marker() != "None"
    ]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert looks == {
        (tone(COLORS[world], rank, 2), dash, MARKERS[rank])
        for world, dash in (("real", "-"), ("ideal", "--"))
        for rank in (0, 1)
    }
    (legend,) = drawing.figure.legends
    named = {line.get_label(): line.get_color() for line in legend.get_lines()}
    assert named == {f"{world} world": COLORS[world] for world in COLORS} | {
        f"weight_decay {value}": tone(GREY, rank, 2) for rank, value in enumerate((0.1, 0.3))
    }


def test_no_interval_of_an_error_goes_below_zero(make_results):
    """Means of three errors near 0 have a t interval that would."""
    comparison = compare(make_results(3, (250, 500), evaluations=8))
    table = comparison.panels().assign(x=1, color="", value=[0.0, 0.0, 0.3] * 4, measure="test error at the end")
    ax = plot_means(table, colors=[""], styles=STYLES, ax=new_axes())
    ends = [min(line.get_ydata()) for line in ax.lines if line.get_gid() is None and line.get_linestyle() == "-"]
    assert min(ends) == 0.0


def test_pairs_are_drawn_at_the_step_and_in_the_metric_of_the_answer(make_pairs):
    """Also where some pairs never reach it, which the caption counts; without a claim at the end where some do not."""
    reaching = [{"differences": [0, 0, 0.1 * seed, 0.5], "stopping": 20} for seed in (1, 2, 3)]
    never = [{"differences": [0, 0, 0.2, 0.6]} for _ in range(3)]
    claim = {"kind": "bootstrap_error", "max": 0.5, "at": "stopping", "metric": "test_error"}
    for claims, values, words in (
        ([claim], [0.1, 0.2, 0.3], "Bootstrap error at the stopping step of 3 of 6 pairs, the others having no value"),
        ([claim | {"at": "end"}], [0.5] * 3 + [0.6] * 3, "Bootstrap error at the last common step of every pair"),
        ([], [0.5] * 3 + [0.6] * 3, "Bootstrap error at the last common step of every pair"),
    ):
        cells = [make_pairs(reaching, claims=claims, cell="a", train_size=100),
                 make_pairs(never, claims=claims, cell="b", train_size=200)]  # fmt: skip
        both = dataclasses.replace(
            cells[0],
            runs=pd.concat([cell.runs for cell in cells], ignore_index=True),
            evaluations=pd.concat([cell.evaluations for cell in cells], ignore_index=True),
        )
        drawing = next(one for one in draw_effects(compare(both)) if one.name == "effect_bootstrap_error")
        assert drawing.caption.startswith(words)
        ax = drawing.figure.axes[0]
        assert ("test error" if claims else "test soft error") in ax.get_ylabel()
        dots = [line for line in ax.lines if line.get_linestyle() == "None"]
        assert sorted(float(value) for line in dots for value in line.get_ydata()) == pytest.approx(values)
