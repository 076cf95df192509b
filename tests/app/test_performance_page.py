"""The page of times is the one that the recorded results make."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from benchmarks import gpu, report


def test_the_page_is_made_from_what_is_recorded():
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in report.RESULTS.glob("*.json")
    }
    assert {"generate", "host", "ops"} <= set(results)
    assert report.PAGE.read_text(encoding="utf-8") == report.page(results)


def test_results_of_a_gpu_have_a_place_on_it(tmp_path):
    out = Path(tmp_path / "gpu.json")
    assert gpu.main(["--tiny", "--only", "llava-1.5-7b,ops", "--output", str(out)]) == 0
    made = report.page({"gpu": json.loads(out.read_text(encoding="utf-8"))})
    assert "### llava-1.5-7b, batch 2, sdpa" in made
    assert "### ops, bfloat16" in made
    assert "| oracle |" in made
    assert ("None is recorded yet" in made) is False
    assert torch.__version__ in made
