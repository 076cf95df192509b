"""A call ends with its frame, whatever ends that, and nobody takes zeros of dropped tokens for tokens."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, LlavaForConditionalGeneration

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove
from apet.hf.arguments import cache_out
from apet.hf.state import call_in_progress, encoding_in_progress, generation_in_progress
from apet.methods import ApET, Downsample, FastV
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.test_families import built, chosen
from tests.hf.tiny import CACHE, ENCODES_FIRST, IMAGE_TOKEN, prompts, tiny_llava

TEXT = {"input_ids": torch.tensor([[1, *range(3, 50)]])}
encodes_first = pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers takes no encoded features")


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


def merged(model, inputs):
    """Embeddings with features in their places, as callers do it."""
    features = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    return embeds.masked_scatter((inputs["input_ids"] == IMAGE_TOKEN)[..., None], torch.cat(list(features)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_callers_own_embeddings_are_uncompressed(llava, stage):
    inputs = prompts(PROMPTS["ragged"])
    given = {"attention_mask": inputs["attention_mask"]}
    plain = llava(**inputs).logits
    written = llava.generate(**inputs, max_new_tokens=4, do_sample=False)[:, -4:]
    with compressing(llava, method(stage)):
        given["inputs_embeds"] = merged(llava, inputs)
        assert torch.equal(llava(**given).logits, plain)
        assert torch.equal(llava.generate(**given, max_new_tokens=4, do_sample=False)[:, -4:], written)


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


@encodes_first
@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
def test_features_of_another_state(llava, at):
    """Made under one method and used under another, or under none: right in either."""
    inputs = prompts(PROMPTS["ragged"])
    pixels, plain = inputs["pixel_values"], llava(**inputs).logits
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with compressing(llava, method("both", at=at)):
        features = llava.get_image_features(pixels, return_dict=True)
        llava(**given, mm_encoder_outputs={"image": features})
    assert torch.equal(llava(**given, mm_encoder_outputs={"image": features}).logits, plain)
    for other in (method("stage 1", at=at), Downsample(4)):
        with compressing(llava, other):
            found = llava(**given, mm_encoder_outputs={"image": features}).logits
            torch.testing.assert_close(found, llava(**inputs).logits)
            options = {"max_new_tokens": 4, "do_sample": False, "num_beams": 2}
            written = llava.generate(**given, mm_encoder_outputs={"image": features}, **options)
            assert torch.equal(written, llava.generate(**inputs, **options))


@encodes_first
@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "internvl", "llava_next", "gemma3"])
def test_features_apart_in_other_families(name):
    recipe, model = RECIPES[name], built(name)
    inputs = batch(recipe, recipe.prompts["image"])
    names = [key for key in inputs if key.startswith(("pixel", "image_"))]
    plain = model.base_model.get_image_features(**{key: inputs[key] for key in names}, return_dict=True)
    given = {key: value for key, value in inputs.items() if key != "pixel_values"}
    with compressing(model, chosen(recipe, "both")):
        features = model.base_model.get_image_features(
            **{key: inputs[key] for key in names}, return_dict=True
        )
        expected = model(**inputs).logits
        found = model(**given, mm_encoder_outputs={"image": features}).logits
    torch.testing.assert_close(found, expected)
    for one, other in zip(plain.pooler_output, features.pooler_output, strict=True):
        assert torch.equal(one, other)


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


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
@pytest.mark.parametrize(
    "where",
    [
        "",
        "language_model",
        "language_model.embed_tokens",
        "language_model.layers.2",
        "vision_tower",
        "multi_modal_projector",
    ],
)
@pytest.mark.parametrize("same", [False, True])
def test_features_for_oneself_within_a_call(llava, where, at, same):
    """Encoded by a hook, of other pixels or of the same: they are whole, and the pass keeps its own."""
    inputs, more = prompts(PROMPTS["ragged"]), prompts(PROMPTS["ragged"], seed=5)["pixel_values"]
    more = inputs["pixel_values"] if same else more
    plain = llava.get_image_features(more, return_dict=True).pooler_output
    seen = []

    def encode(*_):
        if not seen:
            seen.append(None)
            seen[:] = llava.get_image_features(more, return_dict=True).pooler_output

    with compressing(llava, method("both", at=at)) as session:
        expected = llava(**inputs).logits
        kept = [image.indices for image in session.images]
        for register in ("register_forward_pre_hook", "register_forward_hook"):
            hook = getattr(llava.model.get_submodule(where), register)(encode)
            assert torch.equal(llava(**inputs).logits, expected)
            hook.remove()
            assert all(map(torch.equal, seen, plain))
            assert all(map(torch.equal, kept, (image.indices for image in session.images)))
            seen.clear()

        def look(ids, scores):
            encode()
            return scores

        written = llava.generate(**inputs, max_new_tokens=3, do_sample=False)
        again = llava.generate(**inputs, max_new_tokens=3, do_sample=False, logits_processor=[look])
        assert torch.equal(again, written)
        assert all(map(torch.equal, seen, plain))


@encodes_first
def test_features_that_were_changed(llava):
    inputs = prompts(PROMPTS["ragged"])
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    for at in ("projector_input", "projector_output"):
        with compressing(llava, method("stage 1", at=at)):
            for change in (lambda x: x.add_(1.0), lambda x: x * 2):
                features = llava.get_image_features(inputs["pixel_values"], return_dict=True)
                features.pooler_output = [change(x) for x in features.pooler_output]
                if at == "projector_input":
                    with pytest.raises(ApETError, match="features that were changed"):
                        llava(**given, mm_encoder_outputs={"image": features})
                else:
                    found = llava(**given, mm_encoder_outputs={"image": features}).logits
                    assert not torch.allclose(found, llava(**inputs).logits)


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


def test_remove_in_the_middle_of_a_call(llava):
    def take_off(*_):
        with pytest.raises(ApETError, match="in the middle of a call"):
            remove(llava)

    with compressing(llava, method("both")):
        expected = llava(**prompts(PROMPTS["one"])).logits
        hook = llava.model.language_model.layers[1].register_forward_hook(take_off)
        assert torch.equal(llava(**prompts(PROMPTS["one"])).logits, expected)
        hook.remove()


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
