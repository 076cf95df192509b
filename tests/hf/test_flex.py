"""Flex attention, in every family for which transformers declares it: the same logits as sdpa."""

from __future__ import annotations

import pytest
import torch
import transformers
import transformers.integrations.flex_attention as integration
from torch.nn.attention import flex_attention

from apet.core.errors import ApETError
from apet.hf import compressing
from apet.hf.families import FAMILIES
from tests.hf.families.recipe import batch
from tests.hf.test_families import RECIPES, TOLERANCE, built, chosen, run


def family_of(recipe):
    return FAMILIES[recipe.name.split(" ")[0]]


def declares(recipe):
    kind = getattr(transformers, family_of(recipe).classes[0], None)
    return getattr(kind, "_supports_flex_attn", False)


pytestmark = pytest.mark.filterwarnings("ignore:_compile flag", "ignore:flex_attention called without")
FLEX = [name for name, recipe in RECIPES.items() if declares(recipe)]


@pytest.fixture
def calls(monkeypatch):
    """Calls of torch's flex attention, uncompiled: transformers compiles it, which takes long on a CPU."""
    seen = []

    def plain(query, key, value, training=False, **kwargs):
        seen.append(query.shape)
        return flex_attention.flex_attention(query, key, value, **kwargs)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", plain)
    return seen


@pytest.mark.parametrize("name", FLEX)
def test_flex_attention_is_sdpa(name, monkeypatch, calls):
    recipe, model = RECIPES[name], built(name)
    family = family_of(recipe)
    inputs = batch(recipe, next(iter(recipe.prompts.values())))
    method = chosen(recipe, "both")
    with compressing(model, method):
        _, expected, fed = run(model, inputs, None)
    text = family.text_of(model.base_model)
    monkeypatch.setattr(text.config, "_attn_implementation", "flex_attention")
    if family.base_masks:
        with compressing(model, method), pytest.raises(ApETError, match="flex_attention"):
            run(model, inputs, fed)
        return
    with compressing(model, method):
        _, logits, _ = run(model, inputs, fed)
    assert calls
    for ours, theirs in zip(logits, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)
