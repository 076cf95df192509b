"""The notebook's code runs, offline, without a notebook."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def test_the_cells_run_in_order(capsys):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for source in code:
        exec(compile(source, str(NOTEBOOK), "exec"), names)
    assert names["EMBEDDED"] is True
    assert "63 of 576 visual tokens" in capsys.readouterr().out
    assert [sum(one.tokens_stage1 for one in images) for images in names["results"]] == [29, 86, 190]
