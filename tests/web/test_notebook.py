"""The notebook runs from top to bottom, in a real kernel."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def _said(notebook):
    """What each cell printed or gave, without progress."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [[one for one in cell.outputs if one.get("name") != "stderr"] for cell in cells]
    return [[one.get("text") or one["data"]["text/plain"] for one in outputs] for outputs in shown]


def test_the_notebook_says_what_it_was_committed_with():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    committed = _said(notebook)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert _said(notebook) == committed
    assert (
        sum("image/jpeg" in one.get("data", {}) for cell in notebook.cells for one in cell.get("outputs", []))
        == 3
    )
    assert any("63 of 576 visual tokens" in text for texts in committed for text in texts)
