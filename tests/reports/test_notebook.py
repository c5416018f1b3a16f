import dataclasses
import re
import subprocess
import sys
from html import unescape

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepboot.bootstrap.results import Results, write
from deepboot.bootstrap.study.kept_weights import weights_file
from deepboot.reports import load
from deepboot.reports.notebook import NotebookResults
from deepboot.reports.page.page import write_report

CLAIM = {"kind": "grokking_delay", "min_ratio": 2.0, "primary": True, "text": "Grokking <b>comes</b> late"}


@pytest.fixture
def folder(make_results, tmp_path):
    """An output folder with kept weights of its real runs at steps 0 and 10."""
    results = make_results(2, (250, 1000), evaluations=12, claims=[CLAIM])
    write(results, tmp_path)
    (tmp_path / "study.toml").write_text('question = "Is a < b?"\n')
    for run_id in results.runs["run_id"][results.runs["world"] == "real"]:
        for step in (0, 10):
            path = weights_file(tmp_path, run_id, step)
            path.parent.mkdir(exist_ok=True)
            save_file({"w": np.full(1, step)}, path)
    return tmp_path


def notebook(results: Results) -> NotebookResults:
    return NotebookResults(**{field.name: getattr(results, field.name) for field in dataclasses.fields(results)})


def test_results_show_their_finding_and_verdicts(folder, make_results):
    """In place of a dump of tables; names are text."""
    results = load(folder)
    assert repr(results) == f"<{folder}: 6 runs, {len(results.evaluations)} evaluations>"
    assert "Is a &lt; b?" in results._repr_html_()
    claimed = notebook(make_results(3, evaluations=12, claims=[CLAIM]))._repr_html_()
    assert re.search(r"<b>(supported|refuted|inconclusive)</b>: Grokking &lt;b&gt;comes", claimed)
    assert "The real world memorises between steps 63 and 145" in claimed
    assert results.compare().bootstrap_error().equals(load(folder).compare().bootstrap_error())


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("sizes", [(750,), (500, 750)])
def test_results_answer_in_the_words_of_the_page(make_results, tmp_path, sizes):
    """The answer, and every claim's estimate with its interval, n and claimed region, of one cell and of two."""
    claims = [CLAIM | {"text": "Late"}, {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}]
    results = make_results(6, sizes, evaluations=40, claims=claims)
    page = write_report(results, tmp_path / "page.html").with_suffix(".md").read_text().replace("\\", "")
    lines = [line.strip() for line in re.split(r"<[^>]+>", unescape(notebook(results)._repr_html_()))]
    judged = [line for line in lines if "% interval" in line and "claimed" in line]
    assert len(judged) == len(claims) * len(sizes)
    (answered,) = [line for line in lines if "measured: " in line or "of 2 cells)" in line]
    assert [line for line in [*judged, answered] if line not in page] == []


def test_without_claims_the_finding_is_the_answer(make_results):
    """Once, and not again in the list."""
    html = notebook(make_results(3, evaluations=12))._repr_html_()
    assert "<p><b>Finding:</b> The real world memorises" in html
    assert html.count("The real world memorises") == 1


def test_figures_are_pages_in_a_frame(folder, tmp_path):
    """Each kind, with the library and the data, and as a file; the frame ends where its page ends."""
    results = load(folder)
    pages = [plot() for plot in (results.plot.worlds, results.plot.effect, results.plot.bootstrap_error)]
    assert len({plot.page for plot in pages}) == 3
    for plot in pages:
        frame = plot._repr_html_()
        assert frame.count('"') == 10
        assert len(frame) > 400_000
        assert 'class="interactive-data"' in plot.page
    assert pages[0].save(tmp_path / "figure.html").read_text() == pages[0].page
    assert "save('figure.html')" in repr(pages[0])


def test_figures_are_pictures_where_no_frame_is_shown(folder, make_results):
    """Each as PNG, of the width of a page at 100 points an inch, and another one for each kind; none of nothing."""
    plot = load(folder).plot
    pictures = [figure._repr_png_() for figure in (plot.worlds(), plot.effect(), plot.bootstrap_error())]
    assert [picture[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 3
    assert [int.from_bytes(picture[16:20], "big") for picture in pictures] == [720] * 3
    assert len(set(pictures)) == 3
    results = make_results(2, evaluations=12)
    alone = results.runs.assign(ideal_run_id=None)
    assert notebook(dataclasses.replace(results, runs=alone)).plot.bootstrap_error()._repr_png_() is None


def test_an_effect_needs_a_swept_setting(make_results):
    """Else it says which figure there is."""
    message = "these results have one cell: no setting is swept, so none has an effect. Use `plot.worlds()`."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        notebook(make_results(2, evaluations=12)).plot.effect()


def test_kept_weights_of_one_run(folder):
    """The last ones or those of a step; where several runs match, the sentence names their cells."""
    results = load(folder)
    assert results.weights(seed=1, train_size=250)["w"].tolist() == [10]
    assert results.weights(seed=1, step=0, train_size=250)["w"].tolist() == [0]
    message = (
        "2 runs have kept weights for seed 1, world real: train_size 250; train_size 1,000. "
        "Name the cell's settings, such as `weights(seed=0, train_size=500)`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        results.weights(seed=1)


def test_opening_results_loads_neither_torch_nor_figures():
    """`from deepboot.reports import load` is quick."""
    code = "import sys; from deepboot.reports import load; print({'torch', 'matplotlib', 'bokeh'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
