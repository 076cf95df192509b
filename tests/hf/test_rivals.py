"""Rivals inside a model, against the plain model's states and keys, and the published rules."""

from __future__ import annotations

import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.methods import DART
from tests.hf.cases import PROMPTS
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.families.recipe import single as one_of
from tests.hf.tiny import IMAGE_TOKEN, TOKENS, prompts
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
