"""Reports say what was counted, and load nothing from elsewhere."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from apet.evaluation import Wanted, evaluate, write_report
from apet.evaluation import page as pages
from apet.evaluation.charts import Chart, Series, draw_chart
from apet.evaluation.markdown import notes, tables
from apet.evaluation.page import to_html
from apet.evaluation.runner import evenly
from apet.evaluation.tasks import draw_cases
from apet.installing import install


@pytest.fixture(scope="module")
def written(subject, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    wanted = Wanted(["apet", "random"], [32, 64], ["off"], ["exist", "small_text"], seeds=1, limit=2)
    result = evaluate(subject, wanted, folder)
    return result, {path.name: path.read_text() for path in write_report(result, folder)}


def test_answers_are_those_of_questions_asked_alone(written):
    same, count = written[0].same
    assert same == count == 5 * 2  # two pictures


def test_json_holds_every_row(written):
    result, texts = written
    read = json.loads(texts["results.json"])
    assert len(read["rows"]) == len(result.rows) == 5 * 3
    assert read["rows"][0]["method"] == "full"
    assert {len(bands["kept"]) for bands in read["bands"]} == {24}
    kept = {(b["method"], b["keep"]): sum(b["kept"]) * 24 for b in read["bands"]}
    assert kept["apet", 64] == pytest.approx(64, abs=0.1)
    assert kept["random", 32] == pytest.approx(32, abs=0.1)


def test_markdown_has_a_line_per_configuration(written):
    _, texts = written
    lines = [line for line in texts["results.md"].splitlines() if line.startswith("| apet | 64 |")]
    assert len(lines) == 2
    assert "10 of these 10 answers" in texts["results.md"]


def test_methods_stand_beside_their_originals(written):
    result, texts = written
    head, *rows = methods_lines(texts["results.md"])
    assert head == ["method", "original", "told besides the tokens", "32", "64", "no count"]
    assert [row[0] for row in rows] == ["full", "apet", "random"]
    assert rows[1][1:3] == ["ApET, arXiv 2602.19870", "-"]
    found = {(s.row.method, s.row.keep): s.row for s in result.summaries if s.row.task == "all"}
    for column, keep in ((3, 32), (4, 64)):
        row = found["apet", keep]
        assert re.fullmatch(rf"{100 * row.accuracy:.1f} \([\d.]+ ms\)", rows[1][column])
    assert rows[0][5] == f"{100 * found['full', None].accuracy:.1f} at 576"


def methods_lines(text):
    lines = text.split("## Methods beside their originals")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] != "---"]


def test_the_page_is_whole_and_alone(written):
    page = written[1]["results.html"]
    HTMLParser().feed(page)
    drawings = re.findall(r"<svg xmlns.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 3 + 2  # retention in all and by task; kept share and score by place
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert not re.search(r'(src|href)="[^#]|url\([^#]|@import|<style[^<]*\*\s*{', page)
    kept = [set(re.findall(r'id="([^"]+)"', drawing)) for drawing in drawings]
    for drawing, ids in zip(drawings, kept, strict=True):
        assert set(re.findall(r"[#]([mp]\w+)", drawing)) <= ids, "a drawing refers to itself alone"


def test_the_legend_finds_its_lines(written):
    page = written[1]["results.html"]
    for name, key in (("apet", "k0"), ("random", "k1")):
        assert re.search(rf'<li class="{key}"><b [^>]*>.</b> {name}</li>', page)
        assert len(re.findall(rf'class="series {key}"', page)) == 3 + 2 - (name == "random")
    assert len(re.findall('class="series k. band"', page)) == 2, "one band for each method in the large chart"


def test_tables_keep_method_and_budget_in_sight(written):
    page = written[1]["results.html"]
    rows = re.findall(r'<th scope="row">(\w+) <small>(\d*)</small></th>', page)
    assert len(rows) == 2 * 5
    assert ("apet", "64") in rows
    assert "<code>test</code>" in page


def test_no_chart_is_empty(written):
    result = written[0]
    unscored = [(one, bands) for one, bands in result.bands if one.name == "random"]
    page = to_html(replace(result, bands=unscored))
    assert "Share of tokens kept" in page
    assert "relative to the picture" not in page
    assert "Is a place preferred" not in to_html(replace(result, bands=[]))


def test_a_page_without_matplotlib_says_so(written, monkeypatch):
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    page = to_html(written[0])
    assert "<svg" not in page
    assert html.escape(install("plot")) in page
    assert '<th scope="row">apet <small>64</small></th>' in page


def parsed(chart, *series):
    """The drawing, its text by what it says, and the values of its points."""
    root = ElementTree.fromstring(draw_chart(chart, series))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    return root, texts, [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]


def test_points_tell_their_values_and_lie_in_order():
    one = Series("a < b", "k0", [(32, 50.0), (192, 101.5)], "red", band=[(40.0, 60.0), (100.0, 103.0)])
    root, texts, titles = parsed(Chart("t", "x", "y", (32, 64)), one)
    assert {"a < b: 50 at 32 (40 to 60)", "a < b: 101.5 at 192 (100 to 103)"} < set(titles)
    assert {"t", "x", "y"} < set(texts)
    marks = root.findall(".//{*}g[@class='series k0']//{*}use")
    xs, ys = ([float(mark.get(name)) for mark in marks] for name in "xy")
    width, height = (float(value) for value in root.get("viewBox").split()[2:])
    assert 0 < xs[0] < xs[1] < width
    assert height > ys[0] > ys[1] > 0
    assert "#010203" not in draw_chart(Chart("t", "x", "y"), [one]), "all ink is of the page's colour"


@pytest.mark.parametrize(
    ("budgets", "xs", "told"),
    [
        ((192, 128, 64, 32), (32, 192), ["32", "64", "128", "192"]),
        ((192, 64), (20, 576), ["32", "64", "128", "192", "512"]),
        ((), (63, 127), ["64"]),
        ((10,), (10, 10), ["10"]),
    ],
)
def test_a_log_axis_names_the_budgets(budgets, xs, told):
    line = Series("a", "k0", [(x, 50.0 + x) for x in sorted(set(xs))], "red")
    _, texts, _ = parsed(Chart("t", "x", "y", budgets), line)
    assert texts[: texts.index("x")] == told


def test_levels_lines_without_marks_and_single_points_are_drawn():
    level = Series("none", "k0", [(0, 5.0)], "grey", level=True)
    plain = Series("plain", "k1", [(1, 1.0), (2, 9.0)], "blue", marker="")
    single = Series("one", "k2", [(1.5, 4.0)], "red", "D", band=[(3.0, 6.0)])
    root, _, titles = parsed(Chart("t", "x", "y"), level, plain, single)
    assert titles.count("none") == titles.count("plain") == 1
    assert "one: 4 at 1.5 (3 to 6)" in titles
    assert root.find(".//{*}g[@class='series k2 band']") is not None


def test_timed_questions_are_about_pictures_that_tell_what_the_others_keep(subject):
    cases = draw_cases(["exist", "colour", "count", "read"], 12)
    timed = evenly(cases, 6)
    assert len({case.group for case in timed}) == 6
    assert len({case.task for case in timed}) == 4
    places = [cases.index(case) for case in timed]
    assert places == sorted(places)
    assert places[-1] >= len(cases) * 2 // 3


def test_times_say_at_how_many_tokens(written):
    result, _ = written
    row = next(s for s in result.summaries if s.row.method == "apet" and s.row.task == "all")
    assert row.row.timed_tokens == row.row.kept_tokens
    other = replace(row, row=replace(row.row, timed_tokens=row.row.kept_tokens / 2))
    head, rows = tables(replace(result, summaries=[other]))[0]
    assert rows[0][head.index("first token s")].endswith(f" at {row.row.kept_tokens / 2:.0f} tokens")


def test_points_beside_apet_are_paired(written):
    found = {(s.row.method, s.row.keep): s for s in written[0].summaries if s.row.task == "all"}
    assert found["apet", 64].ahead is None
    assert found["full", None].ahead is None
    difference, low, high = found["random", 64].ahead
    assert difference == pytest.approx(found["random", 64].row.accuracy - found["apet", 64].row.accuracy)
    assert low <= difference <= high


def test_rows_that_measure_noise_are_named(written):
    result, texts = written
    assert "measure noise" not in texts["results.md"]
    row = next(s for s in result.summaries if s.row.method == "apet")
    other = replace(row, row=replace(row.row, method="visionzip"))
    told = [line for line in notes(replace(result, summaries=[*result.summaries, other])) if "noise" in line]
    assert len(told) == 1
    assert "visionzip" in told[0]


def test_times_are_left_out_and_added_later(subject, tmp_path):
    wanted = Wanted(["apet"], [32], ["off"], ["exist"], limit=1, times=False)
    result = evaluate(subject, wanted, tmp_path)
    assert "No times were taken." in notes(result)
    assert {row.total_s for row in result.rows} == {None}
    before = (tmp_path / "answers.jsonl").read_text()
    result = evaluate(subject, replace(wanted, times=True), tmp_path)
    added = (tmp_path / "answers.jsonl").read_text().removeprefix(before).splitlines()
    assert [json.loads(line)["kind"] for line in added] == ["time"] * 2
    assert result.same == (2, 2)
