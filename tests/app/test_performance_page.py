"""The page of times is the one that the recorded results make."""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks import growth, report, report_growth, shapes


def tables(text):
    """Every row of every table of a page, by the heading that it stands under: its cells."""
    found, heading = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return found


@pytest.fixture(scope="module")
def recorded():
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in report.RESULTS.glob("*.json")}


@pytest.fixture(scope="module")
def shown():
    return tables(report.PAGE.read_text(encoding="utf-8"))


def test_the_page_has_the_tables_of_what_is_recorded(recorded, shown):
    """All figures; the words between them are free."""
    assert {"generate", "host", "ops", "shapes"} <= set(recorded)
    assert shown == tables(report.page(recorded))


def test_times_to_the_first_token_stand_in_the_page(recorded, shown):
    """Read without the code that writes it: rows in order, medians to three figures."""
    sections = {"The embedded model": recorded["generate"]}
    sections |= {one["title"]: one for one in recorded["shapes"].values()}
    for heading, found in sections.items():
        rows = [row for row in found["rows"] if "first_token" in row]
        cells = [row for row in shown[heading] if row[0] in {one["name"] for one in rows}]
        first = cells[: len(rows)]  # other tables of the section follow
        assert [row[0] for row in first] == [row["name"] for row in rows]
        for row, (_, told, *_) in zip(rows, first, strict=True):
            number = float(told.split(" ")[0].replace(",", ""))
            assert number == pytest.approx(row["first_token"]["median"], rel=6e-3), (heading, row["name"])


def test_models_of_nearly_true_shapes_have_a_section_each(tmp_path, capsys):
    out = tmp_path / "shapes.json"
    assert shapes.main(["--tiny", "--only", "quarter,half", "--output", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    for found in results.values():
        rows = {row["name"]: row for row in found["rows"]}
        assert set(rows) == {"uncompressed", "apet", "apet, two stages", "oracle", *shapes.OTHERS}
        assert all("first_token" in row for row in rows.values())
        assert found["kept_tokens"] == 8
    made = report.page({"shapes": results})
    assert "## A quarter of LLaVA-1.5-7B" in made
    assert "## Half of Qwen2.5-VL-3B" in made
    assert made.count("| oracle |") == 2
    assert torch.__version__ in made
    assert "predicted from" in capsys.readouterr().out


def test_curves_have_a_section(tmp_path):
    out, plot = tmp_path / "growth.json", tmp_path / "growth.png"
    assert growth.main(["--tiny", "--output", str(out), "--plot", str(plot)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    made = report.page({"growth": found})
    assert "| images of a prompt, 576 tokens, 64 kept | 1, 4 | shared budget |" in made
    assert made.count("| greedy, 4 rounds |") == 4
    assert plot.stat().st_size > 1000


def test_a_curve_that_is_too_steep_is_told():
    steep = {"values": [1.0, 4.0, 16.0], "slope": growth.slope((1, 2, 4), [1.0, 4.0, 16.0]), "most": 1.0}
    flat = {**steep, "slope": growth.slope((1, 2, 4), [3.0, 3.0, 3.0])}
    curve = {"against": "tokens", "name": "one", "at": [1, 2, 4], "time": flat, "memory": steep}
    found = {"machine": {}, "width": 8, "curves": [curve]}
    assert report_growth.too_steep(found) == ["memory of one against tokens (2.00)"]
    assert "memory of one against tokens (2.00)" in "".join(report_growth.growth(found, "a machine"))
    curve["memory"] = flat
    assert "No curve is steeper" in "".join(report_growth.growth(found, "a machine"))


def test_memory_is_counted_at_its_highest():
    def run():
        one = torch.ones(1000)
        two = one + 1
        del one
        return two + 1

    assert 8000 <= growth.most_held(run) < 8600
