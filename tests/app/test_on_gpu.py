"""What is to run on a GPU runs in small shapes, and its results have a place on the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.on_gpu.items import Part

ROOT = Path(__file__).parents[2]


def test_the_whole_run_in_small_shapes(tmp_path):
    environment = os.environ | {
        "TINY": "1",
        "OUT": str(tmp_path),
        "PY": sys.executable,
        "PARTS": "operation llava-1.5-7b agreement waits",
        "TRITON_INTERPRET": "0",
        "TOTAL": "900",
    }
    done = subprocess.run(
        ["bash", "benchmarks/on_gpu.sh"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert list(found) == ["operation", "agreement", "llava-1.5-7b", "waits"]
    agreed = found["agreement"]["items"].values()
    assert len(agreed) == 2
    assert all(one["other_basis"] == one["other_kept"] == 0 and one["same_bits_in_5_runs"] for one in agreed)
    made = report.page({"gpu": found})
    assert "| 2 x 12 x 16, 3, float32 |" in made
    assert "#### llava-1.5-7b, batch 8" in made
    assert "| apet by the core |" in made
    assert "None is recorded yet" not in made


def test_what_fails_or_comes_late_leaves_the_rest(tmp_path):
    part = Part(tmp_path / "part.json", 60)

    def fails():
        raise ValueError("no")

    part.item("fails", fails)
    part.item("late", lambda: 1, needs=100)
    part.item("good", lambda: 2)
    items = json.loads((tmp_path / "part.json").read_text())["items"]
    assert items["fails"]["error"] == "ValueError('no')"
    assert "left_out" in items["late"]
    assert items["good"] == 2
