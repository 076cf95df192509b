"""Reports say what was counted, and load nothing from elsewhere."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from apet.evaluation import Wanted, evaluate, write_report
from apet.evaluation.markdown import tables
from apet.evaluation.runner import spread
from apet.evaluation.svg import Chart, Series, draw_chart
from apet.evaluation.tasks import draw_cases


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


def test_the_page_is_whole_and_alone(written):
    page = written[1]["results.html"]
    HTMLParser().feed(page)
    drawings = re.findall(r"<svg xmlns.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 3 + 2  # retention in all and by task; kept share and score by place
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert not re.search(r'(src|href)="|url\(|@import', page)


def test_points_lie_inside_the_frame():
    series = Series("a < b", [(32, 50.0), (192, 101.5)], "red", [(40.0, 60.0), (100.0, 103.0)])
    drawn = draw_chart(Chart("t", "x", "y", log=True), [series])
    root = ElementTree.fromstring(drawn)
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
    xs, ys = ([float(circle.get(name)) for circle in circles] for name in ("cx", "cy"))
    assert 52 <= xs[0] < xs[1] <= 448
    assert 28 <= ys[1] < ys[0] <= 260
    assert "a &lt; b: 50 at 32" in drawn


def test_timed_questions_are_about_pictures_that_tell_what_the_others_keep(subject):
    cases = draw_cases(["exist", "colour", "count", "read"], 12)
    timed = spread(cases, 6)
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
