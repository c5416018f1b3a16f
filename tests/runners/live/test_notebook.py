"""Progress in Jupyter, in a notebook that is executed."""

import pytest


@pytest.mark.slow
def test_a_notebook_shows_progress_and_the_results(study, tmp_path):
    """Two cells: one trains, with a bar under it, and the next one shows what came out; neither has an error."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        f"from deepboot.runners import run_study\nresults = run_study({str(study())!r}, {str(tmp_path / 'out')!r})",
        "len(results.runs)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    trained, counted = (cell.outputs for cell in notebook.cells)
    shown = "".join(output.get("text", "") for output in trained)
    assert "training: 100%" in shown
    assert counted[0]["data"]["text/plain"] == "2"
