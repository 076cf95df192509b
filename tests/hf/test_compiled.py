"""Compiled models, as a whole and in parts, before and after apply: what eager gives, decode in one graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.utils import compile_regions
from torch._dynamo.utils import counters

from apet.hf import apply, compressing, remove
from apet.hf.arguments import cache_out
from apet.methods import ApET, Stage2
from tests.hf.cases import PROMPTS
from tests.hf.tiny import prompts, tiny_llava

LAYERS = 2
"""What a trace costs grows with them: one before the second stage, and one behind it."""
METHODS = {"stage 1": ApET(12), "both": ApET(12, stage2=Stage2(layer=1, keep=5))}


@pytest.fixture(scope="module")
def eager():
    return tiny_llava(layers=LAYERS)


@pytest.fixture
def llava(eager):
    """The same model as `model`, never compiled. Every test must hand it back uncompressed."""
    yield eager
    assert not remove(eager), "the test left the shared model compressed"


@pytest.fixture
def model():
    """A model of its own, and nothing compiled before or after."""
    torch._dynamo.reset()
    yield tiny_llava(layers=LAYERS)
    torch._dynamo.reset()


def traced(thing: Any) -> Any:
    return torch.compile(thing, backend="eager")


def part(name: str) -> Callable[[Any], Any]:
    """Put a compiled module in the place of one."""

    def put(model: Any) -> Any:
        owner = model.get_submodule(name.rpartition(".")[0])
        setattr(owner, name.rpartition(".")[2], traced(model.get_submodule(name)))
        return model

    return put


def in_place(name: str) -> Callable[[Any], Any]:
    """``module.compile()``."""

    def put(model: Any) -> Any:
        model.get_submodule(name).compile(backend="eager")
        return model

    return put


def forward(name: str) -> Callable[[Any], Any]:
    """``module.forward = torch.compile(module.forward)``."""

    def put(model: Any) -> Any:
        owner = model.get_submodule(name)
        owner.forward = traced(owner.forward)
        return model

    return put


def layers(model: Any) -> Any:
    for layer in model.model.language_model.layers:
        layer.compile(backend="eager")
    return model


LANGUAGE = "model.language_model"
WAYS = {
    "torch.compile(model)": traced,
    "model.compile()": in_place(""),
    "model.forward": forward(""),
    "base model": part("model"),
    "base.forward": forward("model"),
    "language model": part(LANGUAGE),
    "language_model.compile()": in_place(LANGUAGE),
    "language_model.forward": forward(LANGUAGE),
    "layers": layers,
    "projector": in_place("model.multi_modal_projector"),
    "vision tower": part("model.vision_tower"),
    "accelerate's regions": lambda model: compile_regions(model, backend="eager"),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", WAYS)
def test_a_compiled_model_is_what_eager_is(llava, model, way, when):
    stage, tokens = "both", 4 if when == "before" else 2  # steps of many lengths, or one
    inputs, text = prompts(PROMPTS["ragged"]), {"input_ids": torch.tensor([[1, 5, 7, 9]])}
    plain = llava(**text).logits
    with compressing(llava, METHODS[stage]):
        expected = llava(**inputs).logits
        generated = llava.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    if when == "after":
        apply(model, METHODS[stage])
    model = WAYS[way](model)
    apply(model, METHODS[stage])
    for _ in range(2):
        torch.testing.assert_close(model(**text).logits, plain)
        torch.testing.assert_close(model(**inputs).logits, expected)
    assert torch.equal(model.generate(**inputs, max_new_tokens=tokens, do_sample=False), generated)


def test_one_graph_of_a_prefill_is_refused(model):
    whole = torch.compile(model, backend="eager", fullgraph=True)
    with compressing(model, METHODS["both"]):
        with pytest.raises(Exception, match="apet: a prefill with images cannot be compiled in one graph"):
            whole(**prompts(PROMPTS["one"]))
        assert whole(input_ids=torch.tensor([[1, 5, 7]])).logits.shape == (1, 3, 64)


@pytest.mark.parametrize("stage", ["stage 1", "both"])
def test_steps_of_a_compiled_model_are_one_graph(model, stage):
    """With a cache that grows: one graph for all lengths, without breaks, after the first two steps."""
    inputs = prompts(PROMPTS["equal"])
    apply(model, METHODS[stage])
    whole = torch.compile(model, backend="eager", dynamic=True)
    out = whole(**inputs)
    mask, cache, graphs = inputs["attention_mask"], cache_out(out), []
    for step in range(6):
        if step == 1:
            counters.clear()
        mask = torch.cat([mask, mask.new_ones(2, 1)], 1)
        position = mask.sum(1, keepdim=True) - 1
        tokens = out.logits[:, -1:].argmax(-1)
        out = whole(input_ids=tokens, attention_mask=mask, position_ids=position, past_key_values=cache)
        graphs.append(counters["stats"]["unique_graphs"])
    assert not counters["graph_break"]
    assert graphs[1:] == [graphs[1]] * 5
    assert graphs[1] <= 1


def test_apply_and_remove_leave_other_models_compiled(llava, model):
    """Nothing is forgotten but what was compiled of the model itself, and that by its guards."""
    other, inputs = tiny_llava(layers=LAYERS, seed=1), {"input_ids": torch.tensor([[1, 5, 7, 9]])}
    compiled_other, compiled = traced(other), traced(model)
    plain, elsewhere = compiled(**inputs).logits, compiled_other(**inputs).logits
    counters.clear()
    with compressing(model, METHODS["both"]):
        torch.testing.assert_close(compiled(**inputs).logits, plain)
        before = counters["stats"]["unique_graphs"]
        torch.testing.assert_close(compiled_other(**inputs).logits, elsewhere)
        assert counters["stats"]["unique_graphs"] == before
    torch.testing.assert_close(compiled(**inputs).logits, plain)
    torch.testing.assert_close(compiled_other(**inputs).logits, elsewhere)
    assert counters["stats"]["unique_graphs"] == before


def test_many_compressions_of_a_compiled_model(llava, model):
    """More than torch recompiles a function: no way to run into its limit and be wrong."""
    inputs = prompts(PROMPTS["one"])
    text, plain = {"input_ids": torch.tensor([[1, 5, 7, 9]])}, llava(**inputs).logits
    words = llava(**{"input_ids": torch.tensor([[1, 5, 7, 9]])}).logits
    compiled = traced(model)
    for repeat in range(12):
        chosen = METHODS[("stage 1", "both")[repeat % 2]]
        with compressing(llava, chosen):
            expected = llava(**inputs).logits
        with compressing(model, chosen):
            torch.testing.assert_close(compiled(**inputs).logits, expected)
            torch.testing.assert_close(compiled(**text).logits, words)
        torch.testing.assert_close(compiled(**inputs).logits, plain)


def test_threads_prefill_and_decode_at_once(llava, model):
    """One prefills while the other decodes compiled; torch keeps its stance for the process."""
    inputs, wrong = prompts(PROMPTS["ragged"]), []
    options = {"max_new_tokens": 8, "do_sample": False}
    with compressing(llava, METHODS["both"]):
        expected = llava.generate(**inputs, **options)
    apply(model, METHODS["both"])
    compiled = traced(model)
    compiled.generate(**inputs, **options)

    def work() -> None:
        torch.set_grad_enabled(False)
        for _ in range(4):
            if not torch.equal(compiled.generate(**inputs, **options), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    from torch._dynamo import eval_frame

    assert eval_frame._stance.stance == "default"


def test_a_wrapped_model_is_found(llava):
    compiled = torch.compile(llava, backend="eager")
    session = apply(compiled, METHODS["stage 1"])
    assert apply(llava, METHODS["stage 1"]) is session
    assert remove(compiled)
    assert not remove(llava)
