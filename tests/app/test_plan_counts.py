"""What `apet plan` counts on a model without weights is what torch counts on a real one, of every family."""

from __future__ import annotations

import copy
import inspect
from functools import partial

import pytest
import torch
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from torch.utils.flop_counter import FlopCounterMode, flop_registry
from transformers import DynamicCache

from apet.app.plan.shapes import text_of, vision_of
from apet.app.plan.skeleton import hollow, skeleton
from apet.hf.arguments import cache_name
from apet.hf.choice.features import Features
from apet.hf.families import FAMILIES

ATEN = torch.ops.aten
ON_CPU = ATEN._scaled_dot_product_flash_attention_for_cpu
LENGTH = 256
REPLACED = ("deepseek_ocr2", "gemma3n")
"""Recipes with parts that the configuration does not tell of."""


def counted(run):
    """Operations of a real run, and what it returned."""
    attention = flop_registry[ATEN._scaled_dot_product_flash_attention]
    attention._get_raw = True
    counter = FlopCounterMode(display=False, custom_mapping={ON_CPU: attention})
    with torch.no_grad(), counter:
        output = run()
    return counter.get_total_flops(), output


def sized(value):
    """What a count depends on: the shape of real numbers, and other values as they are."""
    return value.shape if value.is_floating_point() else (value.shape, value.tolist())


@pytest.fixture(scope="module", params=RECIPES)
def case(request):
    """A recipe, its real model, the same without weights, and what is counted of its text."""
    recipe = RECIPES[request.param]
    model = recipe.build(recipe.attention[0]).requires_grad_(False)
    model.set_experts_implementation("eager")
    bare = hollow(copy.deepcopy(model)) if recipe.name in REPLACED else skeleton(model.config)
    return recipe, model, bare, text_of(bare)


def test_text(case):
    """At a length that was not measured: layers, what is outside of them, and the head."""
    _, model, _, text = case
    ids = torch.full((1, LENGTH), 5)
    cache = DynamicCache(config=model.config.get_text_config())
    true, _ = counted(lambda: model(input_ids=ids, use_cache=True, **{cache_name(model): cache}))
    found = LENGTH * (text.per_token + 2 * text.head)
    found += sum(LENGTH * layer.per_token + LENGTH**2 * layer.per_pair for layer in text.layers)
    assert found == pytest.approx(true, rel=1e-3)
    for layer, told in zip(cache.layers, text.layers, strict=False):
        rows = [
            x for name in ("keys", "values") if (x := getattr(layer, name, None)) is not None and x.numel()
        ]
        assert told.held == sum(x.numel() // x.shape[-2] for x in rows)


def test_pictures(case):
    """All prompts of the recipe, videos as well; pictures of the same sizes are counted once."""
    recipe, model, bare, text = case
    weights, counted_before = sum(x.numel() for x in model.parameters()), set()
    for rows in recipe.prompts.values():
        given = batch(recipe, rows)
        modality = next(
            one for one in FAMILIES[model.config.model_type].modalities if given.get(one.pixels) is not None
        )
        method = getattr(model.base_model, modality.method)
        names = inspect.signature(method).parameters
        others = {name: given[name] for name in names if name in given and name != modality.pixels}
        sizes = {modality.pixels: given[modality.pixels], **others}
        if (key := str([(name, sized(value)) for name, value in sizes.items()])) in counted_before:
            continue
        counted_before.add(key)
        true, output = counted(partial(method, given[modality.pixels], **others))
        vision = vision_of(bare, given)
        assert vision.flops + vision.tokens * vision.per_token == pytest.approx(true, rel=1e-6)
        assert vision.tokens == len(Features.of(output).rows)
        assert vision.weights + text.weights == weights
