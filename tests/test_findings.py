"""README's gallery and docs/findings.md: every finding has its claims, commands and picture, and these are right."""

import importlib.util
import math
import re
import statistics
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.reports.comparison import compare
from deepboot.runners import builtins, study_files
from deepboot.runners.run.rows import specification_row
from tests.reports.conftest import synthetic

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "findings.md").read_text()
(GALLERY,) = re.findall(r"## Found with it\n(.*?)\n## ", (ROOT / "README.md").read_text(), flags=re.DOTALL)
HEADINGS = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(HEADINGS, re.split(r"^## .*$", PAGE, flags=re.MULTILINE)[1:], strict=True))


@pytest.fixture(scope="module")
def pictures():
    """The module that draws the pictures."""
    spec = importlib.util.spec_from_file_location("draw_findings", ROOT / "docs" / "draw_findings.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_findings"] = module
    spec.loader.exec_module(module)
    return module


def anchor(heading):
    """The part of an address by which GitHub finds a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def drawn_in(section):
    """The names of the pictures that a section shows."""
    return re.findall(r"!\[[^\]]+\]\(figures/([\w-]+)\.svg\)", section)


def test_every_finding_of_the_readme_has_its_place_on_the_page_and_in_the_gallery():
    """Bullets and headings are the same findings in the same order, and each picture leads to its heading."""
    assert re.findall(r"^- \*\*(.*?)\*\*", GALLERY, flags=re.MULTILINE) == HEADINGS
    cells = re.findall(r"\[!\[[^\]]+\]\(docs/figures/([\w-]+)\.svg\)\]\(docs/findings\.md#([\w-]+)\)<br>\S", GALLERY)
    drawn = [heading for heading in HEADINGS if drawn_in(SECTIONS[heading])]
    assert [target for _, target in cells] == [anchor(heading) for heading in drawn]
    assert [name for name, _ in cells] == [drawn_in(SECTIONS[heading])[0] for heading in drawn]


def test_every_picture_is_one_that_a_command_of_its_section_draws(pictures):
    """From the folders that the commands before it wrote, of the studies that it is drawn from."""
    assert {name for text in SECTIONS.values() for name in drawn_in(text)} <= set(pictures.FINDINGS)
    for section in SECTIONS.values():
        written = dict(re.findall(r"^deepboot run ([\w-]+) .*--out (\S+)$", section, flags=re.MULTILINE))
        for name in drawn_in(section):
            folders = " ".join(written[study] for study in pictures.FOLDERS.get(name, [name]))
            assert f"\npython docs/draw_findings.py {name} docs/figures/{name}.svg {folders}\n" in section
            svg = (ROOT / "docs" / "figures" / f"{name}.svg").read_text()
            assert svg.startswith("<?xml")
            assert "<text" in svg  # letters that can be read and searched, not outlines


@pytest.mark.parametrize("heading", HEADINGS)
def test_claims_are_those_that_were_registered(heading):
    """Word for word those of the studies whose commands stand below them, all of them, with a verdict each."""
    section = SECTIONS[heading]
    claimed = []
    for study in re.findall(r"^deepboot run ([\w-]+)", section, flags=re.MULTILINE):
        claims = tomllib.loads((ROOT / "runners" / "studies" / f"{study}.toml").read_text())["claims"]
        claimed += [claim["text"] for claim in claims]
    rows = re.findall(r"^\| (.*?) \| (supported|inconclusive|refuted) \| \S.*\|$", section, flags=re.MULTILINE)
    assert [text for text, _ in rows] == claimed


def test_every_row_of_a_picture_is_one_cell_of_its_study(pictures):
    """So that no row mixes cells, or is empty once the study has changed, at its own size and at the quick one."""
    builtins.load()
    for name, picture in pictures.FINDINGS.items():
        for scale in (None, "quick"):
            if not isinstance(picture, pictures.Rows) or (name == "switch-of-world" and scale):
                continue  # whose quick size has two of four cells
            studies = [study_files.load(study, scale=scale) for study in pictures.FOLDERS.get(name, [name])]
            planned = [pd.DataFrame([specification_row(run) for run in runs_of(study)]) for study in studies]
            comparisons = [type("Planned", (), {"runs": runs}) for runs in planned]
            for row in picture.rows:
                chosen = row.runs(comparisons[row.folder])
                assert chosen["cell_id"].nunique() == 1, f"{name}: {row.name}"
                assert set(chosen["world"] == "ideal") == {row.ideal}


def marks(ax, marker):
    """Lines with this marker, by their places across."""
    return [line.get_xdata() for line in ax.lines if line.get_marker() == marker]


def test_rows_show_every_run_the_median_and_its_interval(pictures):
    """Beside a sort and the sign test: dots half-way on the log axis, triangles at the last step of censored runs."""
    comparison = compare(synthetic(seeds=9, censored=(2,)))
    ax = Figure().subplots()
    pictures.draw_rows(ax, [comparison], [pictures.Row("the pool", {"train_size": 750})], "grokking")
    runs = comparison.runs[comparison.runs["world"] == "real"]
    low, high = runs["grokking_low"].to_numpy(float), runs["grokking_high"].to_numpy(float, na_value=np.inf)
    dots, (median,) = marks(ax, "o")
    np.testing.assert_allclose(np.sort(dots), np.sort(np.sqrt(low * high)[np.isfinite(high)]))
    np.testing.assert_allclose(median, np.sqrt(np.sort(low)[4] * np.sort(high)[4]))
    (triangles,) = marks(ax, "^")
    assert list(triangles) == [4000]
    rank = int(stats.binom(9, 0.5).ppf(0.025))  # of 9 values the second smallest and the second largest
    (interval,) = [line.get_xdata() for line in ax.lines if line.get_marker() == "None"]
    np.testing.assert_allclose(interval, [np.sort(low)[rank - 1], np.sort(high)[-rank]])


def test_a_median_that_is_not_reached_has_no_mark(pictures):
    """And its interval ends at the last step, since nothing above it is known."""
    comparison = compare(synthetic(seeds=8, censored=(0, 1, 2, 3, 4)))
    ax = Figure().subplots()
    pictures.draw_rows(ax, [comparison], [pictures.Row("the pool", {"train_size": 750})], "grokking")
    assert [len(dots) for dots in marks(ax, "o")] == [3]
    (interval,) = [line.get_xdata() for line in ax.lines if line.get_marker() == "None"]
    assert interval[1] == 4000


def test_rows_of_errors_show_the_mean_of_both_worlds_on_one_height(pictures):
    """With SciPy's t interval; the ideal partners are hollow."""
    comparison = compare(synthetic(seeds=6, censored=(0, 1)))
    ax = Figure().subplots()
    pictures.draw_rows(ax, [comparison], pictures.both("the pool", {"train_size": 750}, 0), "final")
    last = comparison.evaluations.groupby("run_id")["test_error"].last()
    means = [line for line in ax.lines if line.get_marker() == "o"][1::2]
    for world, line in zip(("real", "ideal"), means, strict=True):
        errors = last[comparison.runs.loc[comparison.runs["world"] == world, "run_id"]].to_numpy(float)
        np.testing.assert_allclose(line.get_xdata(), [errors.mean()])
        assert list(line.get_ydata()) == [0]
        assert (line.get_markerfacecolor() == "white") == (world == "ideal")
        half = stats.t.ppf(0.975, 5) * errors.std(ddof=1) / np.sqrt(6)
        drawn = [bar.get_xdata() for bar in ax.lines if bar.get_marker() == "None"]
        assert any(np.allclose(bar, [errors.mean() - half, errors.mean() + half]) for bar in drawn)


def test_steps_can_be_counted_from_a_later_one(pictures):
    """Of a run that changes its world at step 200 the fresh batches are counted."""
    comparison = compare(synthetic(seeds=6))
    comparison.runs["switched"] = 200
    row = {"name": "the pool", "where": {"train_size": 750}}
    counted = pictures.Row(**row, after="switched").bounds(comparison, "grokking")
    whole = pictures.Row(**row).bounds(comparison, "grokking")
    pd.testing.assert_frame_equal(counted + 200, whole)


def test_another_number_of_folders_is_an_error(pictures, tmp_path):
    """The message names the studies."""
    message = r"power-arms is drawn from 3 folders \(power-arms, power-arms-noise, power-arms-full-batch\), got 1\."
    with pytest.raises(ValueError, match=message):
        pictures.draw("power-arms", tmp_path / "arms.svg", [tmp_path])


def test_starts_stand_in_the_order_of_their_fresh_samples(pictures):
    """With the median of each start in both worlds; ideal runs of another order are copies and left out."""
    comparison = compare(synthetic(seeds=9))
    runs = comparison.runs
    runs["training.streams.init"] = runs["seed"].astype(int) % 3
    runs["training.streams.order"] = (runs["seed"] >= 6).astype(int)
    ax = Figure().subplots()
    pictures.start(ax, [comparison])
    runs["step"] = [
        math.sqrt(low * high) for low, high in zip(runs["grokking_low"], runs["grokking_high"], strict=True)
    ]
    ideal = runs[(runs["world"] == "ideal") & (runs["seed"] < 6)]
    medians = {start: statistics.median(group["step"]) for start, group in ideal.groupby("training.streams.init")}
    order = sorted(medians, key=medians.__getitem__)
    real_dots, real, dots, fresh = ax.lines
    np.testing.assert_allclose(fresh.get_ydata(), [medians[start] for start in order])
    assert (len(real_dots.get_xdata()), len(dots.get_xdata())) == (9, 6)
    pooled = runs[runs["world"] == "real"].groupby("training.streams.init")["step"]
    np.testing.assert_allclose(real.get_ydata(), [statistics.median(pooled.get_group(start)) for start in order])


def test_the_sign_of_reuse_is_the_mean_difference_of_pairs(pictures):
    """Of the pools that are read as one batch, in a line for each, with a dot at the median step of their fit."""
    comparison = compare(synthetic(seeds=4, train_sizes=(500, 750, 1_000)))
    comparison.runs["batch_size"] = comparison.runs["train_size"].where(comparison.runs["train_size"] != 500)
    ax = Figure().subplots()
    pictures.sign(ax, [comparison])
    lines = {line.get_label(): line for line in ax.lines}
    assert {"750", "1000"} <= set(lines)
    assert "500" not in lines
    errors = comparison.evaluations.set_index(["run_id", "step"])["test_error"]
    pairs = [(f"real-0.3-750-{seed}", f"ideal-0.3-{seed}") for seed in range(4)]
    drawn = lines["750"]
    for step, value in zip(drawn.get_xdata()[::9], drawn.get_ydata()[::9], strict=True):
        differences = [float(errors[real, step]) - float(errors[ideal, step]) for real, ideal in pairs]
        np.testing.assert_allclose(value, statistics.mean(differences), atol=1e-12)
    fitted = comparison.runs.loc[comparison.runs["run_id"].isin([real for real, _ in pairs]), "stopping_high"]
    assert [statistics.median(fitted.astype(float))] in [list(line.get_xdata()) for line in ax.lines]


def test_the_share_that_waits_is_that_of_the_runs(pictures):
    """Without censoring it is a plain count at each step, in both worlds."""
    comparison = compare(synthetic(seeds=5))
    ax = Figure().subplots()
    pictures.waiting(ax, [comparison])
    for line in ax.lines:
        runs = comparison.runs[comparison.runs["world"] == line.get_label()]
        for step, share in zip(line.get_xdata(), line.get_ydata(), strict=True):
            if step > 300:  # the picture's left edge
                assert share == pytest.approx(np.mean(runs["grokking_high"].astype(float) > step))
