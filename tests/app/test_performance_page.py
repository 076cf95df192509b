"""The page of times is the one that the recorded results make."""

from __future__ import annotations

import json

from benchmarks import report


def test_the_page_is_made_from_what_is_recorded():
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in report.RESULTS.glob("*.json")
    }
    assert {"generate", "host", "ops"} <= set(results)
    assert report.PAGE.read_text(encoding="utf-8") == report.page(results)
