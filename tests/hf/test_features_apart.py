"""Features that were encoded apart from a call: nobody takes zeros of dropped tokens for tokens."""

from __future__ import annotations

import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import compressing
from apet.methods import Downsample
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.test_families import built, chosen
from tests.hf.tiny import ENCODES_FIRST, IMAGE_TOKEN, prompts

encodes_first = pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers takes no encoded features")


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
