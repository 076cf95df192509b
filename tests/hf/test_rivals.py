"""Rivals inside a model, against the plain model's states and keys, and the published rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.methods import (
    DART,
    EVS,
    SPARE,
    ApET,
    CDPruner,
    Context,
    HiPrune,
    PruMerge,
    ResPrune,
    SparseVLM,
    VidCom2,
    VisPruner,
)
from tests.hf.cases import PROMPTS
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.families.recipe import single as one_of
from tests.hf.test_oracle import TOLERANCE
from tests.hf.tiny import IMAGE_TOKEN, TOKENS, prompts, single
from tests.methods import oracles

OPTIONS = {"max_new_tokens": 5, "do_sample": False}


def published(model, inputs, layer, keep):
    """What DART keeps of every image of the plain model, row by row."""
    plain = model(**inputs, output_hidden_states=True)
    states = model.model.language_model.norm(plain.hidden_states[layer]).double()
    keys = plain.past_key_values.layers[layer - 1].keys.double().abs().sum((1, 3))
    found = []
    for row, ids in enumerate(inputs["input_ids"]):
        visual = (ids == IMAGE_TOKEN).nonzero()[:, 0].split(TOKENS)
        real = inputs["attention_mask"][row].bool() & (ids != IMAGE_TOKEN)
        for own in visual:
            if not len(own):
                continue
            text = (real & (torch.arange(len(ids)) > own[-1])).nonzero()[:, 0]
            parts = [states[row, own], keys[row, own], states[row, text], keys[row, text]]
            found.append(oracles.dart(*(part.numpy() for part in parts), keep)[0])
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("rows", ["one", "ragged", "touching", "text row"])
def test_dart_reads_states_and_keys(llava, rows, layer, side):
    inputs = prompts(PROMPTS[rows], side=side)
    expected = published(llava, inputs, layer, 11)
    with compressing(llava, DART(11, layer=layer)) as session:
        llava(**inputs)
        assert [image.indices.tolist() for image in session.images] == expected
        assert all((one.tokens_stage1, one.tokens_stage2) == (TOKENS, 11) for one in session.images)


def test_dart_reads_the_keys_of_its_own_turn(llava):
    """Behind an earlier turn, and with the columns that a static cache has for what is to come."""
    first, second = prompts([["i", 5]]), prompts([["i", 6]], seed=2)
    with compressing(llava, DART(7)) as session:
        cache = llava(**first).past_key_values
        mask = torch.cat((first["attention_mask"], second["attention_mask"]), dim=1)
        llava(**{**second, "attention_mask": mask}, past_key_values=cache)
        assert len(session.images[-1].indices) == 7
        llava.generate(**first, **OPTIONS)
        kept = session.images[0].indices
        llava.generate(**first, cache_implementation="static", **OPTIONS)
        assert torch.equal(session.images[0].indices, kept)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_next", "gemma3", "internvl"])
def test_dart_in_other_families(name):
    recipe = RECIPES[name]
    model = recipe.build(recipe.attention[0])
    rows = recipe.prompts["image"]
    with compressing(model, DART(3)) as session:
        together = model.generate(**batch(recipe, rows), **OPTIONS)
        assert all(image.tokens_stage2 == 3 < image.tokens for image in session.images)
        for number in range(len(rows)):
            alone = model.generate(**one_of(recipe, rows, number), **OPTIONS)
            assert torch.equal(alone[0, -5:], together[number, -5:])


def test_without_a_cache_there_are_no_keys(llava):
    with compressing(llava, DART(7)), pytest.raises(ApETError, match="reads keys with no KV cache"):
        llava(**prompts([["i", 5]]), use_cache=False)
    assert not DART(7).blind
    with pytest.raises(ApETError, match="layer 4 of a model with 4 decoder layers"):
        apply(llava, DART(7, layer=4))


class Attentive:
    """Attention of the tiny LLaVA's encoder, read by hand."""

    def __init__(self, model, pixels):
        tower = model.model.vision_tower
        self.layers = tower.encoder.layers
        noted = {}
        hooks = [
            layer.self_attn.register_forward_pre_hook(
                lambda _, args, kwargs, n=n: noted.__setitem__(
                    n, args[0] if args else kwargs["hidden_states"]
                ),
                with_kwargs=True,
            )
            for n, layer in enumerate(self.layers)
        ]
        self.out = tower(pixels, output_attentions=True, output_hidden_states=True)
        for hook in hooks:
            hook.remove()
        self.inputs = noted
        self.features = self.out.last_hidden_state[:, 1:]

    def everyone(self, layer):
        return self.out.attentions[layer].mean(1).mean(1)[:, 1:]

    def joined(self, layer):
        attention = self.layers[layer].self_attn
        q, k = attention.q_proj(self.inputs[layer]), attention.k_proj(self.inputs[layer])
        weights = torch.softmax(q[:, :1] @ k.mT * q.shape[-1] ** -0.5, dim=-1)
        return weights[:, 0, 1:], k[:, 1:]


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
def test_encoder_methods_read_the_layers_that_they_name(models, at):
    model = models["eager"]
    inputs = prompts(PROMPTS["ragged"])
    seen = Attentive(model, inputs["pixel_values"])
    features = seen.features if at == "projector_input" else model.model.multi_modal_projector(seen.features)
    cls = seen.out.attentions[-1].mean(1)[:, 0, 1:]
    received, keys = seen.joined(1)
    expected = {
        VisPruner(9, at=at): lambda n: oracles.vispruner(*doubled(features[n], cls[n]), 9),
        HiPrune(20, share=0.5, at=at): lambda n: oracles.hiprune(
            *doubled(seen.everyone(1)[n], seen.everyone(0)[n]), 6, 20, 0.5
        ),
        PruMerge(9, at=at): lambda n: list(oracles.prumerge(*doubled(features[n], received[n], keys[n]), 9)),
    }
    for method, rule in expected.items():
        with compressing(model, method) as session:
            logits = model(**inputs).logits
            kept = [image.indices.tolist() for image in session.images]
            assert kept == [rule(n) for n in range(len(kept))], method
            for row in range(2):
                alone = model(**single(inputs, row)).logits[0, -1]
                assert (alone - logits[row, -1]).abs().max() < TOLERANCE
            assert model.generate(**inputs, **OPTIONS).shape[0] == 2


def test_prumerge_mixes_what_goes_on(models):
    model = models["eager"]
    inputs = prompts(PROMPTS["one"])
    seen = Attentive(model, inputs["pixel_values"])
    received, keys = seen.joined(1)
    expected = oracles.prumerge(*doubled(seen.features[0], received[0], keys[0]), 9)
    with compressing(model, PruMerge(9)) as session:
        model(**inputs)
        stage = session.images[0].stage1
    torch.testing.assert_close(
        stage.tokens.double(), torch.from_numpy(np.array(list(expected.values()))), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(stage.selection.apply(seen.features[0]), stage.tokens)


@pytest.mark.parametrize("rows", ["one", "ragged", "text row"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_sparsevlm_ranks_by_what_the_raters_attend_to(models, rows, side):
    model = models["eager"]
    inputs = prompts(PROMPTS[rows], side=side)
    plain = model(**inputs, output_attentions=True, output_hidden_states=True)
    method = SparseVLM(8, layers=(1, 2, 3))
    with compressing(model, method) as session:
        model(**inputs)
        images = iter(session.images)
        for row, ids in enumerate(inputs["input_ids"]):
            places = (ids == IMAGE_TOKEN).nonzero()[:, 0]
            if not len(places):
                continue
            real = inputs["attention_mask"][row].bool()
            text = (real & (torch.arange(len(ids)) > places[-1])).nonzero()[:, 0]
            entering = plain.hidden_states[0][row].double()
            points = torch.softmax(entering[places] @ entering[text].T, dim=1).mean(0)
            raters = text[points > points.mean()] if len(text) > 1 else text
            weights = plain.attentions[0].mean(1)[row, raters].mean(0)
            for own in places.split(TOKENS):
                image = next(images)
                torch.testing.assert_close(image.errors, weights[own], rtol=1e-4, atol=1e-6)
                assert image.tokens_stage2 == method.behind(method.later[-1], TOKENS)
        for row in range(len(inputs["input_ids"])):
            kept = [image.indices for image in session.images if image.row == row]
            with compressing(model, method) as same:
                model(**single(inputs, row))
                assert all(map(torch.equal, kept, [image.indices for image in same.images]))


def doubled(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


@pytest.mark.parametrize("kind", [CDPruner, ResPrune, SPARE])
@pytest.mark.parametrize("rows", ["one", "ragged"])
def test_methods_told_the_prompt(llava, kind, rows):
    inputs = prompts(PROMPTS[rows])
    embed = llava.get_input_embeddings()
    features = llava.get_image_features(pixel_values=inputs["pixel_values"])
    features = features if isinstance(features, torch.Tensor) else features.pooler_output
    texts = [
        embed(ids[(ids != IMAGE_TOKEN) & mask.bool()])
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    with compressing(llava, kind(7)) as session:
        llava.generate(**inputs, **OPTIONS)
        for image, own in zip(session.images, features, strict=True):
            parts = own.reshape(1, TOKENS, -1), 7, Context(prompt=texts[image.row][None])
            assert image.indices.tolist() == kind(7).select(*parts).indices[0].tolist()


@pytest.mark.parametrize("kind", [EVS, VidCom2])
@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_onevision"])
def test_methods_for_videos(name, kind):
    recipe = RECIPES[name]
    model = recipe.build(recipe.attention[0])
    rows = recipe.prompts["video"]
    with compressing(model, ApET(1.0)) as session:
        model(**batch(recipe, rows))
        first = max(image.tokens for image in session.images)
    with compressing(model, kind(first + 1)) as session:
        out = model(**batch(recipe, rows)).logits
        kept = [image.indices for image in session.images]
        assert all(
            len(one) == min(first + 1, image.tokens) for one, image in zip(kept, session.images, strict=True)
        )
        for number in range(len(rows)):
            alone = model(**one_of(recipe, rows, number)).logits[0, -1]
            assert (alone - out[number, -1]).abs().max() < TOLERANCE
    refused = pytest.raises(ApETError, match=f"{kind.__name__}: got an image; expected a whole video")
    with compressing(model, kind(0.5)), refused:
        model(**batch(recipe, recipe.prompts["image"]))
