"""Every family, every kind of input, both stages: the same logits as the masked full-length run."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove, supported_models
from apet.hf.families import FAMILIES
from apet.hf.state import call_in_progress
from apet.methods import ApET, Stage2
from tests.hf.families import ABSENT, RECIPES
from tests.hf.families.recipe import Recipe, batch, single
from tests.hf.oracle import dropped, masked

TOLERANCE = 1e-4
STEPS = 3
NEW = STEPS + 1


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """What stages a family has."""
    one = FAMILIES[recipe.name.split(" ")[0]].one_stage is not None
    return ("stage 1",) if one else ("stage 1", "stage 2", "both")


def parted(recipe: Recipe, prompt: str) -> bool:
    """Whether something in a prompt has several parts, so that a whole is another unit."""
    family = FAMILIES[recipe.name.split(" ")[0]]
    kinds = [kind for kind in family.modalities if kind.name == ("video" if "video" in prompt else "image")]
    return all(kind.no_whole is None for kind in kinds) and (family.tiles or "video" in prompt)


CASES = [
    pytest.param(recipe, prompt, id=f"{name}-{prompt}")
    for name, recipe in RECIPES.items()
    for prompt in recipe.prompts
]
MASKED = [case for case in CASES if not case.values[0].short]
STAGED = [
    pytest.param(*case.values, stage, id=f"{case.id}-{stage}")
    for case in MASKED
    for stage in stages_of(case.values[0])
]
"""``tests/hf/test_linear_attention.py`` compares the others with the short sequence."""


@functools.lru_cache(maxsize=2)
def built(name: str) -> Any:
    """A recipe's model; tests of one recipe follow each other and share it."""
    return RECIPES[name].build(RECIPES[name].attention[0])


def chosen(recipe: Recipe, stage: str, **options: Any) -> ApET:
    if stage not in stages_of(recipe):
        stage = "stage 1"
    stage2 = Stage2(recipe.layer, recipe.later)
    keep: int | float = 1.0 if stage == "stage 2" else recipe.keep
    return ApET(keep, basis_size=3, stage2=None if stage == "stage 1" else stage2, **options)


@contextmanager
def spied_units(model: Any) -> Iterator[dict[tuple[str, int, int], torch.Tensor]]:
    """Feature rows of every unit of the calls within, filled while they run."""
    rows: dict[tuple[str, int, int], torch.Tensor] = {}

    def note(module: Any, args: Any, output: Any) -> None:
        call = call_in_progress.get()
        for encoded in call.encoded.values() if call else ():
            rows.update({(s.modality, s.image, s.part): s.rows for s in encoded.segments})

    base = model.base_model
    text = FAMILIES[model.config.model_type].text_of(base)
    handle = text.register_forward_hook(note)
    try:
        yield rows
    finally:
        handle.remove()


def run(
    model: Any, inputs: dict[str, Any], fed: list[Any] | None, *, steps: int = STEPS
) -> tuple[Any, list[Any], list[Any]]:
    """Prefill and decode by hand, greedily or with given tokens."""
    prefill = model(**inputs)
    if prefill.past_key_values is None:  # Granite Vision 4 makes no cache itself
        prefill = model(**inputs, past_key_values=DynamicCache())
    mask, logits, tokens = inputs["attention_mask"], [prefill.logits[:, -1]], []
    for step in range(steps):
        tokens.append(logits[-1].argmax(-1, keepdim=True) if fed is None else fed[step])
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        extra = {"token_type_ids": torch.zeros_like(tokens[-1])} if "token_type_ids" in inputs else {}
        deltas = getattr(model.base_model, "rope_deltas", None)
        if deltas is not None:  # without positions these models count those of the whole mask
            rope = model.config.get_text_config().rope_parameters or {}
            axes = len(rope.get("mrope_section") or "thw")
            extra["position_ids"] = (mask.sum(1, keepdim=True) - 1 + deltas).expand(axes, -1, -1)
        out = model(
            input_ids=tokens[-1], attention_mask=mask, past_key_values=prefill.past_key_values, **extra
        )
        logits.append(out.logits[:, -1])
    return prefill, logits, tokens


def test_every_family_has_a_recipe():
    names = {name.split(" ")[0] for name in (*RECIPES, *ABSENT)}
    assert {family.model_type for family in supported_models()} == names


@pytest.mark.parametrize(("recipe", "prompt"), [case for case in CASES if "video" in case.values[1]])
def test_frames_have_budgets_of_their_own(recipe, prompt):
    model = built(recipe.name)
    with compressing(model, chosen(recipe, "stage 1")) as session:
        model(**batch(recipe, recipe.prompts[prompt]))
        videos = [image for image in session.images if image.modality == "video"]
    assert len(videos) > sum(part in ("v", "w") for row in recipe.prompts[prompt] for part in row)


@pytest.mark.parametrize(("recipe", "prompt", "stage"), STAGED)
def test_logits_match_the_masked_run(recipe, prompt, stage):
    model = built(recipe.name)
    inputs = batch(recipe, recipe.prompts[prompt])
    method = chosen(recipe, stage, merge=False)
    with spied_units(model) as units, compressing(model, method) as session:
        compressed, logits, fed = run(model, inputs, None)
        results = session.images
    real = inputs["attention_mask"].bool()
    first, second = dropped(model.config, inputs["input_ids"], results, units)
    assert first.any() or second.any()
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    with masked(text, real, first, second, recipe.layer):
        expected, expected_logits, _ = run(model, inputs, fed)
    stays = real & ~first & ~second
    errors = [(compressed.logits - expected.logits)[stays].abs().max()]
    errors += [(a - b).abs().max() for a, b in zip(logits, expected_logits, strict=True)]
    plain = model(**inputs).logits
    moved = (plain - expected.logits)[stays].abs().max()
    assert moved > 10 * TOLERANCE, "the prompt hardly depends on what was dropped"
    assert torch.stack(errors).max() < TOLERANCE


@pytest.mark.parametrize(("recipe", "prompt"), CASES)
def test_a_batch_generates_what_its_rows_do(recipe, prompt):
    model = built(recipe.name)
    rows = recipe.prompts[prompt]
    options = {"max_new_tokens": NEW, "do_sample": False}
    with compressing(model, chosen(recipe, "both")):
        together = model.generate(**batch(recipe, rows), **options)
        for number in range(len(rows)):
            alone = model.generate(**single(recipe, rows, number), **options)
            assert torch.equal(alone[0, -NEW:], together[number, -NEW:])


@pytest.mark.parametrize(("recipe", "prompt"), CASES)
def test_a_static_cache_generates_what_a_dynamic_one_does(recipe, prompt):
    model = built(recipe.name)
    inputs = batch(recipe, recipe.prompts[prompt])
    options = {"max_new_tokens": NEW, "do_sample": False}
    with compressing(model, chosen(recipe, "both")):
        dynamic = model.generate(**inputs, **options)
        static = model.generate(**inputs, **options, cache_implementation="static", disable_compile=True)
    assert torch.equal(dynamic, static)


EAGER = [recipe for recipe in RECIPES.values() if "eager" in recipe.attention[1:] and not recipe.short]


@pytest.mark.parametrize("recipe", EAGER, ids=lambda recipe: recipe.name)
def test_eager_attention_matches_the_masked_run(recipe):
    model = recipe.build("eager")
    assert model.config.get_text_config()._attn_implementation == "eager"
    inputs = batch(recipe, next(iter(recipe.prompts.values())))
    with spied_units(model) as units, compressing(model, chosen(recipe, "both", merge=False)) as session:
        logits = model(**inputs).logits
        results = session.images
    real = inputs["attention_mask"].bool()
    first, second = dropped(model.config, inputs["input_ids"], results, units)
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    with masked(text, real, first, second, recipe.layer):
        expected = model(**inputs).logits
    stays = real & ~first & ~second
    assert (logits - expected)[stays].abs().max() < TOLERANCE


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_is_left_behind(name):
    model = built(name)
    modules = dict(model.named_modules())

    def state() -> dict[str, Any]:
        return {
            path: (set(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
            for path, module in modules.items()
        }

    recipe = RECIPES[name]
    inputs = batch(recipe, next(iter(recipe.prompts.values())))
    plain = model(**inputs).logits
    before = state()
    apply(model, chosen(recipe, "both"))
    assert not torch.equal(model(**inputs).logits, plain)
    remove(model)
    assert state() == before
    assert torch.equal(model(**inputs).logits, plain)


@pytest.mark.parametrize("name", [name for name in RECIPES if len(stages_of(RECIPES[name])) == 1])
def test_a_stage_2_that_cannot_be_is_refused(name):
    with pytest.raises(ApETError, match="a method without stage 2"):
        apply(built(name), ApET(4, stage2=Stage2(2, 2)))
