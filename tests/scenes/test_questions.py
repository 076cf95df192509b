"""Questions have the right answers."""

import re

import numpy as np
import pytest

from apet.scenes import SKILLS, Scene, Shape, Text, ask, sample_scene, seeded
from apet.scenes.questions import TEMPLATES
from apet.scenes.scene import region_name

SCENE = Scene(
    seed=0,
    light=True,
    shapes=(
        Shape("star", "red", 50.0, 50.0, 20.0, 0.0),
        Shape("circle", "blue", 280.0, 60.0, 20.0, 0.0),
        Shape("circle", "red", 170.0, 290.0, 20.0, 0.0),
    ),
    texts=(Text("TAXI", "blue", 100, 150, 28, plate=False), Text("42", "red", 220, 200, 28, plate=True)),
)
FACTS = {
    "is there a red star?": "yes",
    "is there a blue star?": "no",
    "what colour is the star?": "red",
    "what shape is the blue object?": "circle",
    "how many circles are there?": "2",
    "how many red shapes are there?": "2",
    "how many shapes are there?": "3",
    "where is the red star?": "top left",
    "where is the blue circle?": "top right",
    "where is the red circle?": "bottom",
    "is the red star left of the blue circle?": "yes",
    "is the red star right of the red circle?": "no",
    "is the blue circle above the red circle?": "yes",
    "is the blue circle below the red circle?": "no",
    "which is further left, the blue circle or the red circle?": "red circle",
    "what is the word?": "TAXI",
    "what is the number?": "42",
    "what does the blue text say?": "TAXI",
}


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(0)
    found = [ask(rng, SCENE, 40) for _ in range(60)]
    return {question.text: question for part in found for question in part}


def test_facts(asked):
    assert {text: asked[text].answer for text in FACTS} == FACTS


def test_unclear_questions_are_not_asked(asked):
    # Two circles have two colours, two red objects two shapes; two texts leave "the text" open.
    unclear = ("what colour is the circle?", "what shape is the red object?", "what does the text say?")
    assert not set(unclear) & set(asked)


def test_questions_are_different_and_of_every_skill():
    rng = np.random.default_rng(1)
    questions = [q for i in range(150) for q in ask(rng, sample_scene(seeded("train", i)), 8)]
    assert {q.skill for q in questions} == set(SKILLS)
    for i in range(20):
        texts = [q.text for q in ask(rng, sample_scene(seeded("train", i)), 8)]
        assert len(set(texts)) == len(texts)
    # Neither answer of a yes-no question can be guessed.
    answers = [q.answer for q in questions if q.answer in ("yes", "no")]
    assert 0.4 < np.mean([a == "yes" for a in answers]) < 0.6


def test_an_empty_scene_is_asked_about_its_text_only():
    scene = Scene(0, True, (), (Text("ZOO", "black", 100, 100, 30, plate=False),))
    assert {q.answer for q in ask(np.random.default_rng(0), scene, 5)} == {"ZOO"}
    assert ask(np.random.default_rng(0), Scene(0, True, (), ()), 5) == []


def test_wordings_are_lower_case():
    assert all(re.fullmatch(r"[a-z ,.?{}]+", t) for wordings in TEMPLATES.values() for t in wordings)


def test_regions():
    assert region_name(0, 0) == "top left"
    assert region_name(168, 168) == "centre"
    assert region_name(335, 335) == "bottom right"


def test_named_shapes_are_in_the_words(asked):
    named = {
        "is the red star left of the blue circle?": ("red star", "blue circle"),
        "where is the red star?": ("red star",),
        "what colour is the star?": ("star",),
        "how many circles are there?": (),
        "is there a red star?": (),
    }
    for text, words in named.items():
        assert tuple(name for name, _ in asked[text].named) == words
        for name, shape in asked[text].named:
            assert set(name.split()) <= {shape.colour, shape.shape}


def test_directions_are_those_that_the_words_claim(asked):
    directions = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
    told = {text: question.direction for text, question in asked.items() if any(question.direction)}
    assert len(told) > 8
    assert all(any(words in text for words, way in directions.items() if way == told[text]) for text in told)
    assert not any(asked[text].direction != (0, 0) for text in asked if "further left" in text)
