"""A call ends with its frame, whatever ends that, and is the same however it is made."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import GenerationConfig

from apet.core.errors import ApETError
from apet.hf import compressing, remove
from apet.hf.state import call_in_progress, encoding_in_progress, generation_in_progress
from apet.methods import ApET, FastV
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.test_families import built, chosen
from tests.hf.tiny import prompts, tiny_llava

TEXT = {"input_ids": torch.tensor([[1, *range(3, 50)]])}


def nothing_runs() -> bool:
    states = (call_in_progress, encoding_in_progress, generation_in_progress)
    return all(state.get() is None for state in states)


ENDS = [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit, RuntimeError]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("where", ["language_model.layers.1", "vision_tower", "multi_modal_projector"])
def test_whatever_ends_a_call(llava, where, end):
    def stop(*_):
        raise end

    inputs, plain = prompts(PROMPTS["one"]), llava(**TEXT).logits
    with compressing(llava, method("both")) as session:
        expected = llava(**inputs).logits
        for call in (llava, lambda **kwargs: llava.generate(**kwargs, max_new_tokens=2)):
            hook = llava.model.get_submodule(where).register_forward_hook(stop)
            with pytest.raises(end):
                call(**inputs)
            hook.remove()
            assert nothing_runs()
            assert torch.equal(llava(**TEXT).logits, plain)
            assert torch.equal(llava(**inputs).logits, expected)
        llava.generate(**TEXT, max_new_tokens=1)
        assert session.images == ()


def test_a_pool_reuses_its_threads(llava):
    inputs, plain = prompts(PROMPTS["one"]), llava(**TEXT).logits

    def stop(*_):
        raise KeyboardInterrupt

    def run(fails: bool) -> torch.Tensor | None:
        torch.set_grad_enabled(False)
        hook = llava.model.language_model.layers[1].register_forward_hook(stop) if fails else None
        try:
            llava(**inputs)
        except KeyboardInterrupt:
            pass
        finally:
            if hook is not None:
                hook.remove()
        return llava(**TEXT).logits

    with compressing(llava, method("both")), ThreadPoolExecutor(1) as pool:
        for fails in (True, False, True):
            assert torch.equal(pool.submit(run, fails).result(), plain)


@pytest.mark.parametrize("stage", STAGES)
def test_calls_within_a_call(llava, stage):
    """Another compressed model, and this one again, with images and with text, from a hook of this one."""
    other = tiny_llava(seed=1)
    inputs, more = prompts(PROMPTS["ragged"]), prompts(PROMPTS["equal"], seed=2)
    inner = []

    def nested(*_):
        if not inner:
            inner.append(0)
            inner[:] = [other(**more).logits, llava(**more).logits, llava(**TEXT).logits]
            inner.append(llava.model.language_model(**TEXT).last_hidden_state)

    with compressing(llava, method(stage)), compressing(other, method("stage 1")):
        expected = llava(**inputs).logits
        alone = [other(**more).logits, llava(**more).logits, llava(**TEXT).logits]
        alone.append(llava.model.language_model(**TEXT).last_hidden_state)
        for where in ("language_model.layers.0", "language_model.layers.3", "vision_tower"):
            hook = llava.model.get_submodule(where).register_forward_hook(nested)
            assert torch.equal(llava(**inputs).logits, expected)
            hook.remove()
            assert all(map(torch.equal, inner, alone))
            inner.clear()


@pytest.mark.parametrize("stage", STAGES)
def test_forward_of_the_base_model_itself(llava, stage):
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method(stage)):
        expected = llava.model(**inputs).last_hidden_state
        assert torch.equal(llava.model.forward(**inputs).last_hidden_state, expected)
        by_position = llava.model.forward(
            *(inputs[name] for name in ("input_ids", "pixel_values", "attention_mask"))
        )
        assert torch.equal(by_position.last_hidden_state, expected)


@pytest.mark.parametrize("attended", [True, False])
def test_options_by_position(models, attended):
    """A generation config in second place is read as one that is named."""
    model = models["eager" if attended else "sdpa"]
    inputs = prompts(PROMPTS["one"])
    ids, rest = inputs.pop("input_ids"), inputs
    config = {"prefill_chunk_size": 9} if attended else {"cache_implementation": "paged"}
    config = GenerationConfig(max_new_tokens=2, **config)
    with compressing(model, FastV(keep=6, layer=1) if attended else method("both")):
        for args, kwargs in (((ids, config), {}), ((ids,), {"generation_config": config})):
            with pytest.raises(ApETError, match="prefill_chunk_size=9" if attended else "paged"):
                model.generate(*args, **kwargs, **rest)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["llava", "llava_next", "qwen2_5_vl", "internvl"])
def test_a_default_device_around_a_call(name, stage):
    recipe, model = RECIPES[name], built(name)
    inputs = batch(recipe, recipe.prompts["image"])
    with compressing(model, chosen(recipe, stage)):
        expected = model(**inputs).logits
        here = torch.empty(0).device
        with torch.device("cpu"):
            assert torch.equal(model(**inputs).logits, expected)
        assert torch.empty(0).device == here


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["llava", "llava_next", "qwen2_5_vl", "internvl", "gemma3"])
def test_an_image_that_the_mask_hides(name, stage):
    """It contributes nothing, as without compression; text sees the other image alone."""
    recipe, model = RECIPES[name], built(name)
    inputs = batch(recipe, [[2, "i", 3, "i", 5]])
    places = (inputs["input_ids"] == model.config.image_token_id)[0].nonzero()[:, 0]
    first = places[: len(places) // 2]
    inputs["attention_mask"][0, first] = 0
    other = dict(inputs)
    half = len(inputs["pixel_values"]) // 2
    other["pixel_values"] = inputs["pixel_values"].clone()
    other["pixel_values"][:half] += 1.0
    behind = slice(int(places[-1]) + 1, None)
    plain = [model(**given).logits[:, behind] for given in (inputs, other)]
    torch.testing.assert_close(*plain)
    with compressing(model, chosen(recipe, stage, unit="part")):
        logits = [model(**given).logits[:, behind] for given in (inputs, other)]
        torch.testing.assert_close(*logits)
        written = [model.generate(**given, max_new_tokens=4, do_sample=False) for given in (inputs, other)]
        assert torch.equal(*written)
    with compressing(model, ApET(1.0, at="projector_output")):
        torch.testing.assert_close(model(**inputs).logits[:, behind], plain[0])


def test_remove_in_the_middle_of_a_call(llava):
    def take_off(*_):
        with pytest.raises(ApETError, match="in the middle of a call"):
            remove(llava)

    with compressing(llava, method("both")):
        expected = llava(**prompts(PROMPTS["one"])).logits
        hook = llava.model.language_model.layers[1].register_forward_hook(take_off)
        assert torch.equal(llava(**prompts(PROMPTS["one"])).logits, expected)
        hook.remove()
