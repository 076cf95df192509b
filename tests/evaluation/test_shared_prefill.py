"""Shared prefills give the answers, tokens and decisions of plain calls, and vision runs once."""

import pytest
import torch

import apet
from apet.evaluation import draw_cases
from apet.evaluation.plain import answer_plainly
from apet.evaluation.shared import Shared, can_share

METHODS = {
    "none": None,
    "one stage": apet.ApET(64),
    "two stages": apet.ApET.paper(32, num_layers=8),
    "random": apet.Random(48, seed=1),
    "a tolerance": apet.ApET(tolerance=0.1),
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
    with shared.ready():
        quick = shared.answer(cases, method)
    plain = answer_plainly(subject, cases, method)
    assert [reply.case for reply in quick] == [reply.case for reply in plain] == cases
    assert [reply.answers for reply in quick] == [reply.answers for reply in plain]
    assert [reply.schedule for reply in quick] == [reply.schedule for reply in plain]
    for one, other in zip(quick, plain, strict=True):
        for first, second in zip(one.images, other.images, strict=True):
            assert torch.equal(first.indices, second.indices)
            torch.testing.assert_close(first.errors, second.errors, rtol=1e-4, atol=1e-5)


def test_logits_of_a_question_are_those_of_the_whole_prompt(subject, cases, shared):
    case, model = cases[0], subject.model
    ids, end = torch.tensor([shared.ids[case.key]]), len(shared.prefix)
    pixels = shared.pixels[shared.place[case.group]][None]
    with torch.no_grad(), apet.compressing(model, apet.ApET.paper(64, num_layers=8)):
        whole = model(input_ids=ids, pixel_values=pixels).logits
        cache = model(input_ids=ids[:, :end], pixel_values=pixels, use_cache=True).past_key_values
        rest = model(input_ids=ids[:, end:], past_key_values=cache).logits
    torch.testing.assert_close(rest, whole[:, end:], rtol=1e-4, atol=1e-4)


def test_vision_runs_once_while_ready(subject, cases, shared):
    tower, runs = subject.model.base_model.vision_tower, []
    layer = next(module for name, module in tower.named_modules() if name.endswith("encoder"))
    handle = layer.register_forward_hook(lambda *_: runs.append(1))
    try:
        with shared.ready():
            for method in (None, apet.ApET(64), apet.Random(64)):
                shared.answer(cases[:1], method)
        assert len(runs) == 1
        shared.answer(cases[:1], None)
        assert len(runs) == 2
    finally:
        handle.remove()
    assert "forward" not in tower.__dict__
