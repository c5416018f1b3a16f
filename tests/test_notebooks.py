"""The example notebooks run from their first cell to their last, and are kept small."""

from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    """In a folder of its own; its figures are frames, and its last table or verdict is there."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("<iframe" in output.get("data", {}).get("text/html", "") for output in shown)
    assert not [output for output in shown if output.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_only_small_outputs(path):
    """What is seen without running them: text, tables and pictures of the figures, whose pages are made anew."""
    shown = [output.get("data", {}) for cell in nbformat.read(path, as_version=4).cells
             for output in cell.get("outputs", [])]  # fmt: skip
    assert set().union(*shown) <= {"text/plain", "text/html", "image/png"}
    assert sum("image/png" in data for data in shown) == 1
    assert any(":</b> " in data.get("text/html", "") for data in shown)  # the answer
    assert not any("<iframe" in data.get("text/html", "") for data in shown)
    assert path.stat().st_size < 300_000
    assert len(NOTEBOOKS) == 2


def test_a_verdict_is_printed_in_the_words_of_the_page():
    """An estimate that lies between evaluations is not to be taken for the interval, which has its name."""
    path = next(path for path in NOTEBOOKS if path.stem == "own_hypothesis")
    outputs = [one for cell in nbformat.read(path, as_version=4).cells for one in cell.get("outputs", [])]
    (printed,) = [one["text"] for one in outputs if one.output_type == "stream"]
    (answered,) = [one["data"]["text/html"] for one in outputs if "<li>" in one.get("data", {}).get("text/html", "")]
    assert "(95 % interval" in printed
    assert "claimed: " in printed
    assert printed.strip() in unescape(answered)
