"""Every kind of drawn picture: seeded, of the right size, and asked about rightly."""

import hashlib
import re
from itertools import pairwise

import numpy as np
import pytest
from source_table import ROWS

from apet.scenes import ask, sample_scene, seeded
from apet.scenes.charts import Chart, ask_chart, draw_chart
from apet.scenes.forms import ask_form, sample_form
from apet.scenes.several import ask_in_turns, sample_album
from apet.scenes.small import LARGEST_PRINT, LARGEST_RADIUS
from apet.scenes.sources import SOURCES
from apet.scenes.video import FRAMES, ask_clip, draw_clip, sample_clip

PINNED = {
    ("train", 0): "1787509b2113",
    ("validation", 3): "e74816ea1217",
    ("test", 0): "26467b801eb0",
    ("test", 41): "d2506171fde7",
}


@pytest.mark.parametrize(("split", "index"), PINNED)
def test_what_the_embedded_model_was_trained_on_is_drawn_as_ever(split, index):
    rng = seeded(split, index)
    scene = sample_scene(rng)
    shown = repr((scene, [(q.skill, q.text, q.answer) for q in ask(rng, scene, 8)]))
    assert hashlib.sha256(shown.encode()).hexdigest()[:12] == PINNED[split, index]


def test_the_table_names_every_kind():
    assert set(ROWS) == set(SOURCES)
    assert len({source.stream for source in SOURCES.values()}) == len(SOURCES)
    tasks = [task for source in SOURCES.values() for task in source.tasks]
    assert len(set(tasks)) == len(tasks)


@pytest.mark.parametrize("name", ROWS)
def test_a_kind(name):
    count, answers = ROWS[name]
    source = SOURCES[name]
    if not source.available:
        pytest.skip(f"needs {source.package}")
    drawn, again, other = (source.drawn("test", index) for index in (5, 5, 6))
    assert repr(drawn.content) == repr(again.content) != repr(other.content)
    assert repr(drawn.content) != repr(source.drawn("validation", 5).content)
    pictures, second = drawn.paint(), again.paint()
    assert len(pictures) == count or (count is None and 2 <= len(pictures) <= 3)
    for pixels, same in zip(pictures, second, strict=True):
        assert pixels.shape == ((64, 64, 3) if name == "easy_vqa" else (336, 336, 3))
        assert pixels.dtype == np.uint8
        assert pixels.std() > 8 or name == "easy_vqa"
        assert np.array_equal(pixels, same)
    found = [question for i in range(30) for turns in source.drawn("test", i).dialogues for question in turns]
    assert {question.skill for question in found} == set(source.tasks)
    assert all(re.fullmatch(answers, question.answer) for question in found)
    assert len({question.answer for question in found}) >= 6


def test_small_things_are_small_and_stand_where_they_stood():
    for index in range(20):
        scene = SOURCES["small"].drawn("test", index).content
        assert all(9 <= shape.radius <= LARGEST_RADIUS for shape in scene.shapes)
        assert all(20 <= text.size <= LARGEST_PRINT for text in scene.texts)


def test_chart_answers():
    bars = Chart(1, "bars", ("ABC", "XYZ", "QRS"), ("red",), ((20, 90, 10),))
    rng = np.random.default_rng(0)
    asked = {q.text: q.answer for _ in range(30) for q in ask_chart(rng, bars)}
    assert asked["what is the value of XYZ?"] == "90"
    assert (asked["which bar is highest?"], asked["which bar is lowest?"]) == ("XYZ", "QRS")
    lines = Chart(1, "lines", ("JAN", "FEB"), ("red", "blue"), ((20, 90), (50, 30)))
    asked = {q.text: q.answer for _ in range(40) for q in ask_chart(rng, lines)}
    assert asked["what is the value of the blue line in FEB?"] == "30"
    assert asked["which line is higher in JAN, the red line or the blue line?"] == "blue"
    assert asked["in which month is the red line highest?"] == "FEB"


def test_a_higher_bar_has_more_of_its_colour():
    def ink(value):
        pixels = draw_chart(Chart(1, "bars", ("ABC", "XYZ"), ("blue",), ((value, 50),))).astype(int)
        left = pixels[:, :168]
        return int(((left[..., 2] - left[..., 0]) > 80).sum())

    assert ink(90) == pytest.approx(2 * ink(45), rel=0.1)


def test_form_answers():
    rng = np.random.default_rng(3)
    form = sample_form(rng)
    values = dict(form.fields)
    assert len(values) == len(set(values.values())) >= 5
    for _ in range(20):
        for question in ask_form(rng, form):
            field = re.fullmatch(r"what is the (\w+)\?", question.text)
            says = re.fullmatch(r"which field says (\w+)\?", question.text)
            if field:
                assert values[field[1].upper()] == question.answer
            else:
                assert values[question.answer] == says[1]


def test_turns_speak_of_one_thing():
    found = [
        turns
        for i in range(40)
        if (turns := ask_in_turns(seeded("test", i), sample_scene(seeded("test", i))))
    ]
    assert len(found) > 20
    for first, second, third in found:
        assert first.text.startswith("what shape is the")
        assert second.text == "where is it?"
        assert third.answer in ("yes", "no")
    share = np.mean([turns[2].answer == "yes" for turns in found])
    assert 0.25 < share < 0.75


def test_albums_hold_two_or_three_scenes():
    counts = {len(sample_album(seeded("test", i, 4)).scenes) for i in range(20)}
    assert counts == {2, 3}


def test_a_clip_moves_one_thing_and_blinks_another():
    for index in range(12):
        clip = sample_clip(seeded("test", index, 6))
        answers = [question.answer for question in ask_clip(clip)]
        moved, blinked = clip.scene.shapes[0], clip.scene.shapes[-1]
        assert answers == [f"{moved.colour} {moved.shape}", clip.way, str(len(clip.gone))]
        frames = [frame.astype(int) for frame in draw_clip(clip)]
        assert len(frames) == FRAMES
        x, y = round(blinked.x), round(blinked.y)
        reach = int(blinked.radius)
        seen = [frame[y - reach : y + reach, x - reach : x + reach] for frame in frames]
        changes = [bool(np.abs(a - b).mean() > 4) for a, b in pairwise(seen)]
        assert [n + 1 for n, changed in enumerate(changes) if changed] == sorted(
            {frame for gone in clip.gone for frame in (gone, gone + 1)}
        )
        for shape in clip.scene.shapes[1:-1]:
            x, y = round(shape.x), round(shape.y)
            assert np.array_equal(
                frames[0][y - 4 : y + 4, x - 4 : x + 4], frames[-1][y - 4 : y + 4, x - 4 : x + 4]
            )
        end = (clip.step * (FRAMES - 1)) * np.asarray(
            {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[clip.way]
        )
        assert np.all(np.asarray((moved.x, moved.y)) + end - moved.radius >= 0)
        assert np.all(np.asarray((moved.x, moved.y)) + end + moved.radius <= 336)
