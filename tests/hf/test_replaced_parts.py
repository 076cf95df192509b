"""Parts that were replaced, added or called out of turn are used rightly or refused."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import DynamicCache, LlavaForConditionalGeneration

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove
from apet.hf.arguments import cache_out
from apet.methods import ApET
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.tiny import CACHE, prompts, tiny_llava

TEXT = {"input_ids": torch.tensor([[1, *range(3, 50)]])}


@pytest.mark.parametrize("part", ["language_model", "multi_modal_projector"])
def test_a_part_that_was_replaced(part):
    model, inputs = tiny_llava(), prompts(PROMPTS["one"])
    with compressing(model, method("both", at="projector_input")):
        before = getattr(model.model, part)
        setattr(model.model, part, copy.deepcopy(getattr(tiny_llava(seed=1).model, part)))
        with pytest.raises(ApETError, match=f"whose {part} was replaced after apply; expected apet.remove"):
            model(**inputs)
        setattr(model.model, part, before)
        model(**inputs)


def test_a_vision_tower_that_was_replaced():
    """Nothing hangs on it, so it is used."""
    model, inputs, tower = tiny_llava(), prompts(PROMPTS["one"]), tiny_llava(seed=1).model.vision_tower
    other = tiny_llava()
    other.model.vision_tower = tower
    with compressing(model, method("both")), compressing(other, method("both")):
        model.model.vision_tower = tower
        assert torch.equal(model(**inputs).logits, other(**inputs).logits)


def test_a_second_head_on_one_base(llava):
    with torch.device("meta"):
        other = LlavaForConditionalGeneration(llava.config)
    other.model, other.lm_head = llava.model, llava.lm_head
    inputs = prompts(PROMPTS["one"])
    with compressing(llava, method("both")) as session:
        expected = llava(**inputs).logits
        with pytest.raises(ApETError, match="compressed through another head"):
            apply(other, ApET(8))
        assert not remove(other)
        assert torch.equal(llava(**inputs).logits, expected)
        assert torch.equal(other(**inputs).logits, expected)
        assert session.kept_stage1 == 12
        with pytest.raises(ApETError, match="a static cache and a 4D mask"):
            other.generate(**prompts(PROMPTS["ragged"]), cache_implementation="static", max_new_tokens=2)
    with compressing(other, ApET(8)) as session:
        llava(**inputs)
        assert session.kept_stage1 == 8


@pytest.mark.parametrize("stage", STAGES)
def test_keys_and_values_in_a_new_cache(llava, stage):
    """Its columns are taken for tokens; a mask or a prompt shows that they are not."""
    inputs = prompts(PROMPTS["one"])
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with compressing(llava, method(stage)):
        held = cache_out(llava(input_ids=ids[:, :-2], pixel_values=inputs["pixel_values"]))
        new = DynamicCache()
        for number, layer in enumerate(held.layers):
            new.update(layer.keys, layer.values, number)
        given = {"input_ids": ids[:, -2:], "attention_mask": mask, CACHE: new}
        with pytest.raises(ApETError, match="copies of its keys and values"):
            llava(**given)
        with pytest.raises(ApETError, match=r"placeholders of images without images|[Cc]opies of its keys"):
            llava.generate(input_ids=ids, attention_mask=mask, **{CACHE: new}, max_new_tokens=2)
        expected = llava(**inputs).logits[:, -1]
        torch.testing.assert_close(llava(**{**given, CACHE: held}).logits[:, -1], expected)


def test_layers_and_positions_that_were_replaced():
    model, inputs = tiny_llava(), prompts(PROMPTS["one"])
    text, other = model.model.language_model, tiny_llava().model.language_model
    with compressing(model, method("both")):
        for number in (1, 2, 3):
            before = text.layers[number]
            text.layers[number] = other.layers[number]
            with pytest.raises(ApETError, match=f"whose language_model.layers.{number} was replaced"):
                model(**inputs)
            text.layers[number] = before
        rotary, text.rotary_emb = text.rotary_emb, other.rotary_emb
        with pytest.raises(ApETError, match=r"whose language_model.rotary_emb was replaced"):
            model(**inputs)
        text.rotary_emb = rotary
        last = text.layers[3]
        del text.layers[3]
        with pytest.raises(ApETError, match=r"language_model.layers.3 was replaced"):
            model(**inputs)
        text.layers.append(last)
        model(**inputs)


def test_the_text_model_called_before_its_turn(llava):
    """With embeddings of the prompt's own shape, by hooks within the pass."""
    inputs = prompts(PROMPTS["equal"])
    embeds, inner = torch.randn(2, inputs["input_ids"].shape[1], 64), []

    def call(*_):
        if not inner:
            inner.append(None)
            inner[:] = [llava.model.language_model(inputs_embeds=embeds).last_hidden_state]

    alone = llava.model.language_model(inputs_embeds=embeds).last_hidden_state
    with compressing(llava, method("both")):
        expected = llava(**inputs).logits
        for where in ("language_model", "language_model.embed_tokens", "vision_tower"):
            hook = llava.model.get_submodule(where).register_forward_pre_hook(call)
            assert torch.equal(llava(**inputs).logits, expected)
            hook.remove()
            torch.testing.assert_close(inner[0], alone)
            inner.clear()


def test_a_cache_that_is_none_of_transformers(llava):
    """As in continuous batching: text goes through."""

    class Paged:
        def update(self, keys, values, *args, **kwargs):
            return keys, values

        def get_seq_length(self, *args):
            return 0

        def get_query_offset(self, *args):
            return 0

        def get_mask_sizes(self, length, *args):
            return length, 0

    plain = llava(**TEXT, **{CACHE: Paged()}).logits
    with compressing(llava, method("both")):
        assert torch.equal(llava(**TEXT, **{CACHE: Paged()}).logits, plain)


@pytest.mark.parametrize("stage", STAGES)
def test_a_hook_that_changes_embeddings(llava, stage):
    """What somebody's hook hands the text model is what is shortened."""

    def twice(module, args, kwargs):
        return args, {**kwargs, "inputs_embeds": kwargs["inputs_embeds"] * 2}

    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method(stage)):
        before = llava(**inputs).logits
    hook = llava.model.language_model.register_forward_pre_hook(twice, with_kwargs=True)
    with compressing(llava, method(stage)) as session:
        early = llava(**inputs).logits
        assert len(session.images) == 3
    with compressing(llava, method(stage)):
        hook.remove()
        hook = llava.model.language_model.register_forward_pre_hook(twice, with_kwargs=True)
        late = llava(**inputs).logits
    hook.remove()
    assert torch.equal(early, late)
    assert not torch.allclose(early, before)
