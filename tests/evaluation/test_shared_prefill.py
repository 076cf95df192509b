"""Shared prefills give the answers, tokens and decisions of plain calls, and vision runs once a picture."""

import pytest
import torch

import apet
from apet import methods
from apet.evaluation import Configuration, draw_cases
from apet.evaluation.asking import Piece, answer_pieces
from apet.evaluation.plain import answer_plainly
from apet.evaluation.shared import Shared, can_share

METHODS = {
    "none": None,
    "one stage": apet.ApET(64),
    "two stages": apet.ApET.paper(32, num_layers=8),
    "random": apet.Random(48, seed=1),
    "a tolerance": apet.ApET(tolerance=0.1),
    "a smaller picture": methods.Downsample(60),
    "no picture": methods.NoImage(),
    "attention of the encoder": methods.VisionZip(48),
}


@pytest.fixture(scope="module")
def cases():
    return draw_cases(["exist", "read", "relation", "small_text"], 2)


@pytest.fixture(scope="module")
def shared(subject, cases):
    assert all(can_share(subject, case) for case in cases)
    return Shared(subject, cases)


@pytest.mark.parametrize("name", METHODS)
def test_as_plain_calls(subject, cases, shared, name):
    method = METHODS[name]
    quick = shared.answer(cases, method)
    plain = answer_plainly(subject, cases, method)
    assert [reply.case for reply in quick] == [reply.case for reply in plain] == cases
    assert [reply.answers for reply in quick] == [reply.answers for reply in plain]
    assert [reply.schedule for reply in quick] == [reply.schedule for reply in plain]
    for one, other in zip(quick, plain, strict=True):
        for first, second in zip(one.images, other.images, strict=True):
            assert torch.equal(first.indices, second.indices)
            torch.testing.assert_close(first.errors, second.errors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        apet.ApET.paper(64, num_layers=8),
        apet.ApET(64, positions="contiguous"),
        methods.Downsample(60),
        methods.NoImage(),
    ],
    ids=["own positions", "contiguous", "a smaller picture", "no picture"],
)
def test_logits_of_a_question_are_those_of_the_whole_prompt(subject, cases, shared, method):
    """The first turn ends with the picture, whose last tokens may be dropped."""
    case, model = cases[0], subject.model
    ids, end = torch.tensor([shared.ids[case.key]]), len(shared.prefix)
    pixels = shared.pixels[shared.place[case.group]][None]
    with torch.no_grad(), apet.compressing(model, method):
        whole = model(input_ids=ids, pixel_values=pixels).logits
        cache = model(input_ids=ids[:, :end], pixel_values=pixels, use_cache=True).past_key_values
        rest = model(input_ids=ids[:, end:], past_key_values=cache).logits
    torch.testing.assert_close(rest, whole[:, end:], rtol=1e-4, atol=1e-4)


@pytest.fixture
def runs(subject):
    """How many pictures the vision encoder was given, call by call."""
    tower, seen = subject.model.base_model.vision_tower, []
    layer = next(module for name, module in tower.named_modules() if name.endswith("encoder"))
    handle = layer.register_forward_hook(
        lambda _, args, kwargs, output: seen.append(len(output[0])), with_kwargs=True
    )
    yield seen
    handle.remove()
    assert "forward" not in tower.__dict__


def test_vision_runs_once_per_picture(subject, cases, runs):
    pieces = [
        Piece(name, Configuration(name, 64, "off", None, method), cases)
        for name, method in {"full": None, "apet": apet.ApET(64), "fastv": methods.FastV(64)}.items()
    ]
    pictures = len({case.group for case in cases})
    assert len(list(answer_pieces(subject, pieces[:2]))) == 2
    assert sum(runs) == pictures
    runs.clear()
    list(answer_pieces(subject, pieces[2:]))
    assert sum(runs) == pictures  # although every question is a prompt of its own


def test_a_method_that_looks_into_the_encoder_runs_it(subject, cases, runs):
    method = methods.VisionZip(64)
    pieces = [Piece(name, Configuration(name, 64, "off", None, method), cases[:2]) for name in "ab"]
    first, second = answer_pieces(subject, pieces)
    assert first["answers"] == second["answers"]
    assert len(runs) == 2


def test_prompts_about_one_picture_as_plain_calls(subject, cases):
    method = methods.FastV(64)
    piece = Piece("fastv", Configuration("fastv", 64, "off", None, method), cases)
    (line,) = answer_pieces(subject, [piece])
    plain = {reply.case.key: list(reply.answers) for reply in answer_plainly(subject, cases, method)}
    assert line["answers"] == plain
