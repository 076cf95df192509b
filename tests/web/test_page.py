"""The page of ``apet show``, used as people use it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

SHOTS = Path("build/shots")


def shot(page, name):
    """Screenshots are for people to look at; no test reads them."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True, animations="disabled")


def source(page, name="overlay"):
    return page.locator(f"#{name} img").get_attribute("src")


def changed(page, before, name="overlay"):
    """Waits for another picture, and gives its address."""
    page.wait_for_function(
        "([name, before]) => document.querySelector(`#${name} img`)?.getAttribute('src') != before",
        arg=[name, before],
    )
    return source(page, name)


def pick(page, path):
    with page.expect_file_chooser() as chooser:
        page.click("#upload")
    chooser.value.set_files(path)


def upload(page, path):
    before = source(page)
    pick(page, path)
    after = changed(page, before)
    expect(page.locator("#answers [role=gridcell]")).to_have_count(0)
    return after


def slide(page, value):
    before = source(page)
    page.locator("#budget input[type=range]").fill(str(value))
    return changed(page, before)


def compare(page, name):
    before = source(page)
    page.locator("#other input").click()
    page.get_by_role("option", name=name, exact=True).click()
    return changed(page, before)


def asked(page, question, rows):
    """Asks, and gives the table once it has that many rows for this question."""
    page.locator("#question textarea").fill(question)
    page.click("#ask")
    cells = page.locator("#answers [role=gridcell]")
    expect(cells).to_have_count(5 * rows)
    texts = [text.strip() for text in cells.all_inner_texts()]
    return [texts[start : start + 5] for start in range(0, len(texts), 5)]


def test_upload_slide_compare_and_ask(visitor, served, scene_file):
    with visitor() as page:
        first = upload(page, scene_file("RADIO"))
        runs, ranks = len(served[1]), source(page, "ranks")
        less = slide(page, 24)
        assert changed(page, ranks, "ranks") != ranks
        more = slide(page, 128)
        page.get_by_label("Bound the error instead").check()
        bounded = changed(page, more)
        page.locator("#bound input[type=range]").fill("0.01")
        stricter = changed(page, bounded)
        page.get_by_label("Bound the error instead").uncheck()
        changed(page, stricter)
        both = compare(page, "random")
        assert len({first, less, more, bounded, stricter, both}) == 6
        assert len(served[1]) == runs, "the vision encoder ran for a slider"
        rows = asked(page, "what does the text say?", 3)
        assert [row[0] for row in rows] == ["uncompressed", "apet", "random"]
        assert [row[1] for row in rows[:2]] == ["RADIO", "RADIO"]
        assert [row[2] for row in rows] == ["576", "128 of 576", "128 of 576"]
        assert all(re.fullmatch(r"[\d,]+ ms", cell) for row in rows for cell in row[3:])
        shot(page, "compare")


@pytest.mark.parametrize(
    ("typed", "shown", "kept"),
    [("9999", "576", 576), ("0", "1", 1), ("-7", "1", 1), ("", "1", 1), ("12.6", "12", 12)],
)
def test_a_typed_budget_is_the_one_that_is_drawn_and_asked(visitor, typed, shown, kept):
    with visitor() as page:
        before = source(page)
        field = page.locator("#budget input[type=number]")
        field.fill(typed)
        field.press("Tab")
        changed(page, before)
        expect(field).to_have_value(shown)
        assert asked(page, "how many shapes are there?", 2)[1][2] == f"{kept} of 576"
        expect(page.locator(".toast-body")).to_have_count(0)


def test_a_typed_bound_is_brought_into_its_range(visitor):
    with visitor() as page:
        page.get_by_label("Bound the error instead").check()
        before = changed(page, source(page))
        field = page.locator("#bound input[type=number]")
        field.fill("7")
        field.press("Tab")
        changed(page, before)
        expect(field).to_have_value("0.9")
        expect(page.locator(".toast-body")).to_have_count(0)


def test_a_photograph_is_told_from_a_scene(visitor, scene_file, photograph_file):
    for width in (1280, 800, 390):
        with visitor(width=width) as page:
            expect(page.locator("#hint")).to_be_hidden()
            upload(page, photograph_file)
            expect(page.locator("#hint")).to_contain_text("knows only drawn scenes")
            asked(page, "what is this?", 2)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            shot(page, f"photograph-{width}")
    with visitor() as page:
        upload(page, photograph_file)
        upload(page, scene_file("RADIO"))
        expect(page.locator("#hint")).to_be_hidden()


def test_a_scene_is_there_at_once_and_another_can_be_drawn(visitor):
    with visitor() as page:
        question = page.locator("#question textarea").input_value()
        assert question
        before = source(page)
        page.click("#scene")
        changed(page, before)
        expect(page.locator("#question textarea")).not_to_have_value(question)
        page.locator("#samples button").nth(1).click()
        chosen = page.locator("#samples button").nth(1).inner_text().strip()
        expect(page.locator("#question textarea")).to_have_value(chosen)
        page.click("#ask")
        expect(page.locator("#answers [role=gridcell]")).to_have_count(10)
        shot(page, "scene")


def test_a_video_is_a_contact_sheet(visitor, served, clip_file):
    clip, film, frames = clip_file
    with visitor() as page:
        upload(page, clip)
        runs = len(served[1])
        slide(page, 48)
        assert len(served[1]) == runs
        (whole, short) = asked(page, "what shape is the red object?", 2)
        assert (whole[2], short[2]) == ("3,456", "288 of 3,456"), "six of eight frames"
        shot(page, "video")
        upload(page, film)
        assert asked(page, "what shape is the red object?", 2)[0][2] == "3,456"
        upload(page, frames)
        (whole, short) = asked(page, "what shape is the red object?", 2)
        assert (whole[2], short[2]) == ("1,728", "144 of 1,728")


def test_a_narrow_window_has_the_picture_by_the_slider(visitor):
    with visitor(width=390) as page:
        asked(page, "how many shapes are there?", 2)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        tops = [page.locator(f"#{name}").bounding_box()["y"] for name in ("overlay", "budget", "ranks")]
        assert tops == sorted(tops)
        shot(page, "narrow")


@pytest.mark.parametrize("kind", ["text", "cut", "bomb"])
def test_a_broken_upload_is_a_message(visitor, scene_file, tmp_path, kind):
    path = tmp_path / "broken.png"
    if kind == "text":
        path.write_text("this is no picture")
    elif kind == "cut":
        whole = Path(scene_file("RADIO")).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        Image.new("1", (12_000, 12_000)).save(path)
    with visitor() as page:
        before = source(page)
        pick(page, path)
        expect(page.get_by_text("Expected: a")).to_be_visible()
        words = page.locator("body").inner_text()
        assert "broken.png" in words
        assert "Traceback" not in words
        assert "apet-show-" not in words, "the folder of uploads is not told"
        shot(page, f"broken-{kind}")
        assert source(page) == before
        assert slide(page, 20) != before, "the page goes on with what it had"


def test_an_impossible_question_and_model_are_messages(visitor):
    with visitor() as page:
        page.locator("#question textarea").fill(" ")
        page.click("#ask")
        expect(page.get_by_text("a question in words")).to_be_visible()
        page.get_by_text("Model", exact=True).click()
        for name in ("/etc", "gpt2"):
            page.locator("#model input").fill(name)
            page.locator("#model input").press("Enter")
            expect(page.get_by_text("a model id such as").first).to_be_visible()
            assert "such file" not in page.locator("body").inner_text()
            expect(page.locator("#model input")).to_have_value("embedded")


def test_words_of_visitors_are_shown_as_they_were_typed(visitor):
    with visitor() as page:
        page.locator("#question textarea").fill("<image> what is <b>this</b>?")
        page.click("#ask")
        expect(page.get_by_text("a question with <image>")).to_be_visible()
        page.get_by_text("Model", exact=True).click()
        page.locator("#model input").fill("<img src=x onerror=alert(1)>")
        page.locator("#model input").press("Enter")
        expect(page.get_by_text("'<img src=x onerror=alert(1)>'")).to_be_visible()


def test_after_a_model_that_does_not_exist_uploads_go_on(visitor, scene_file):
    with visitor() as page:
        page.get_by_text("Model", exact=True).click()
        page.locator("#model input").fill("no/such")
        page.locator("#model input").press("Enter")
        expect(page.locator(".toast-body")).to_contain_text("no/such")
        expect(page.locator("#model input")).to_have_value("embedded")
        upload(page, scene_file("RADIO"))
        assert asked(page, "what does the text say?", 2)[1][1] == "RADIO"


def test_the_largest_file_is_told_before_and_after(visitor, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(bytes(26 * 1024**2))
    with visitor() as page:
        expect(page.locator("#limit")).to_contain_text("25 MB")
        pick(page, path)
        expect(page.locator(".toast-body")).to_contain_text("25.0 Mb")


def test_two_visitors_do_not_mix(visitor, scene_file):
    with visitor() as one, visitor() as two:
        upload(one, scene_file("OTTER", 2))
        upload(two, scene_file("PIANO", 3))
        still = source(two)
        slide(one, 300)
        for page in (one, two):
            page.locator("#question textarea").fill("what does the text say?")
        one.click("#ask")
        two.click("#ask")
        for page, word, kept in ((one, "OTTER", "300 of 576"), (two, "PIANO", "64 of 576")):
            cells = page.locator("#answers [role=gridcell]")
            expect(cells).to_have_count(10)
            texts = [text.strip() for text in cells.all_inner_texts()]
            assert texts[1] == texts[6] == word
            assert texts[7] == kept
        assert source(two) == still


def test_no_file_outside_of_the_uploads_can_be_read(visitor, served, scene_file):
    outside = scene_file("SECRET")
    address = served[0].rstrip("/")
    with visitor() as page:
        for path in (
            outside,
            "/etc/passwd",
            "pyproject.toml",
            "../pyproject.toml",
            str(Path("README.md").resolve()),
        ):
            for prefix in ("/gradio_api/file=", "/file="):
                reply = page.request.get(f"{address}{prefix}{path}")
                assert reply.status in (403, 404), (prefix, path)
        config = page.request.get(f"{address}/config").json()
        (number,) = [
            one["id"]
            for one in config["dependencies"]
            if any(event == "upload" for _, event in one["targets"])
        ]
        file = {"path": outside, "meta": {"_type": "gradio.FileData"}}
        said = {
            "data": [None, [file], 64, False, 0.4, "nothing"],
            "fn_index": number,
            "session_hash": "someone",
        }
        joined = page.request.post(f"{address}/gradio_api/queue/join", data=said)
        assert joined.ok
        stream = page.request.get(f"{address}/gradio_api/queue/data?session_hash=someone").text()
        messages = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith("data:")]
        (done,) = [message for message in messages if message["msg"] == "process_completed"]
        assert done["success"] is False


def test_the_server_listens_here_alone(served):
    port = int(re.search(r":(\d+)", served[0][7:]).group(1))
    listening = [
        line.split()[1]
        for name in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(name).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) == port
    ]
    assert listening == [f"0100007F:{port:04X}"]
