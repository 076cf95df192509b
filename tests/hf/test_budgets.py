"""Budgets that depend on the image: callables, an error bound, totals that a prompt's images share."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import apet
from apet.core import ApETError, Segment, compress, compress_ragged
from apet.hf import apply, compressing, remove
from apet.methods import ApET, Method, Random, Stage2
from tests.hf.cases import PROMPTS
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.families.recipe import single as single_row
from tests.hf.test_generate import GREEDY, each_alone, new_tokens
from tests.hf.test_oracle import TOLERANCE, compare
from tests.hf.tiny import ENCODES_FIRST, TOKENS, prompts

ROWS: list[list[str | int]] = [["i", 2, "i", 5], [3, "i", "i", 9], [7]]
encodes_first = pytest.mark.skipif(
    not ENCODES_FIRST, reason="this transformers mixes up the images of copies"
)
CHOICES: dict[str, Method] = {
    "callable": ApET(lambda segment: 8 + 5 * (segment.image % 2)),
    "tolerance": ApET(tolerance=0.2, min_keep=5, basis_size=4),
    "tolerance, stage 2": ApET(tolerance=0.2, basis_size=4, stage2=Stage2(2, 8)),
    "shared": ApET(12, budget="shared", basis_size=4, at="projector_output"),
    "shared, stage 2": ApET(12, budget="shared", basis_size=4, stage2=Stage2(2, 6), at="projector_output"),
    "shared tolerance": ApET(
        tolerance=0.2, budget="shared", basis_size=4, max_keep=0.7, at="projector_output"
    ),
}


def pictures(rows: list[list[str | int]] = ROWS) -> dict[str, Any]:
    """Inputs whose pictures differ in how much they say."""
    inputs = prompts(rows)
    count = len(inputs["pixel_values"])
    inputs["pixel_values"] *= torch.tensor((0.05, 1.0, 0.3, 2.0)[:count])[:, None, None, None]
    return inputs


def kept(model: Any, method: Method, inputs: dict[str, Any]) -> list[int]:
    with compressing(model, method) as session:
        model(**inputs)
        return [image.tokens_stage1 for image in session.images]


def scored(model: Any, inputs: dict[str, Any]) -> list[torch.Tensor]:
    """What stage 1 sees of every picture behind the projector."""
    return list(model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("rows", ["ragged", "text row", "touching"])
def test_logits_match_the_masked_run(llava, rows, name):
    method = CHOICES[name]
    errors, _ = compare(llava, PROMPTS[rows], type(method)(**{**vars(method), "merge": False}))
    assert errors.max() < TOLERANCE


@encodes_first
@pytest.mark.parametrize("name", [name for name in CHOICES if name != "callable"])
def test_a_batch_equals_its_rows_alone(llava, name):
    inputs = pictures()
    with compressing(llava, CHOICES[name]) as session:
        together = llava.generate(**inputs, **GREEDY)
        assert len({image.tokens_stage1 for image in session.images}) > 2, "all alike shows nothing"
        alone = each_alone(llava, inputs, **GREEDY)
        assert torch.equal(new_tokens(inputs, together), alone)


@encodes_first
@pytest.mark.parametrize("name", CHOICES)
def test_generate_decides_as_forward_does(llava, name):
    inputs = pictures()
    with compressing(llava, CHOICES[name]) as session:
        llava(**inputs)
        forward = [image.indices.tolist() for image in session.images]
        for options in ({}, {"num_beams": 2}, {"cache_implementation": "static", "disable_compile": True}):
            llava.generate(**inputs, **GREEDY, **options)
            assert [image.indices.tolist() for image in session.images] == forward


def test_a_tolerance_is_that_of_the_core(llava):
    inputs = pictures()
    options = {"tolerance": 0.1, "basis_size": 4}
    expected = [compress(x, **options).num_kept for x in scored(llava, inputs)]
    assert len(set(expected)) > 1
    assert kept(llava, ApET(**options, at="projector_output"), inputs) == expected


def test_rows_share_what_they_would_have_had_and_no_more(llava):
    inputs = pictures()
    tokens = scored(llava, inputs)
    options = {"budget": "shared", "basis_size": 4}
    expected = [r.num_kept for row in (tokens[:2], tokens[2:]) for r in compress_ragged(row, 12, **options)]
    found = kept(llava, ApET(12, at="projector_output", **options), inputs)
    assert found == expected
    assert (sum(found[:2]), sum(found[2:])) == (24, 24)
    assert found[0] != 12


def test_early_shared_budgets_work_at_the_projectors_input(llava):
    inputs = pictures()
    found = kept(llava, ApET(12, budget="shared", basis_size=4, ridge=0.0), inputs)
    seen = []
    hook = llava.model.multi_modal_projector.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    llava(**inputs)
    hook.remove()
    rows = (list(seen[0][:2]), list(seen[0][2:]))
    options = {"budget": "shared", "basis_size": 4, "ridge": 0.0}
    assert found == [r.num_kept for row in rows for r in compress_ragged(row, 12, **options)]


def test_a_callable_is_told_of_every_image_and_errors_name_it(llava):
    inputs = pictures()
    seen = []

    def budget(segment: Segment) -> float:
        seen.append(segment)
        return 0.25 if segment.image < 3 else -1

    with (
        compressing(llava, ApET(budget)),
        pytest.raises(ApETError, match=r"keep=-1 \(image 3, part 0\)"),
    ):
        llava(**inputs)
    assert seen == [Segment("image", number, 0, TOKENS) for number in range(4)]
    assert kept(llava, Random(lambda segment: 5 + segment.image), inputs) == [5, 6, 7, 8]


def test_the_same_callable_is_the_same_method(llava):
    def budget(segment: Segment) -> int:
        return 9

    first = apply(llava, ApET(budget))
    assert apply(llava, ApET(budget)) is first
    with pytest.raises(ApETError, match=r"apet\.remove"):
        apply(llava, ApET(lambda segment: 9))
    remove(llava)


def test_a_count_in_stage_2_is_cut_to_what_an_error_bound_left(llava):
    inputs = pictures()
    for later in (30, 99):
        with compressing(llava, ApET(tolerance=0.3, stage2=Stage2(2, later))) as session:
            llava(**inputs)
            images = session.images
        assert all(image.tokens_stage2 == min(later, image.tokens_stage1) for image in images)
        assert any(image.tokens_stage1 < later for image in images)
    with (
        compressing(llava, ApET(lambda segment: 9, stage2=Stage2(2, 0.5))),
        pytest.raises(ApETError, match=r"18 of 36 tokens.* behind 9 in stage 1"),
    ):
        llava(**inputs)


def test_sharing_needs_the_prompt(llava):
    inputs = pictures()
    embeds = llava.get_input_embeddings()(inputs["input_ids"])
    calls = []
    hook = llava.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    with compressing(llava, ApET(12, budget="shared")):
        with pytest.raises(ApETError, match="encoded apart from their prompt; expected pixels"):
            llava.generate(inputs_embeds=embeds, **{k: v for k, v in inputs.items() if k != "input_ids"})
        assert calls == []
        inputs["input_ids"] = inputs["input_ids"][:, 1:]
        inputs["input_ids"][0, 5] = 7
        inputs["attention_mask"] = inputs["attention_mask"][:, 1:]
        with pytest.raises(ApETError, match="143 image placeholders in 3 rows for 144 visual tokens"):
            llava(**inputs)
    hook.remove()


def test_embeddings_in_place_of_ids_can_share_in_a_forward_pass(llava):
    inputs = pictures()
    method = ApET(12, budget="shared", basis_size=4, at="projector_output")
    expected = kept(llava, method, inputs)
    embeds = llava.get_input_embeddings()(inputs.pop("input_ids"))
    assert kept(llava, method, {**inputs, "inputs_embeds": embeds}) == expected


def test_time_for_counting_is_time_for_selecting(llava):
    with compressing(llava, ApET(tolerance=0.2)) as session:
        llava(**pictures())
        for image in session.images:
            assert image.seconds > image.stage1.clock.seconds / image.stage1.share


VIDEO = ("qwen2_5_vl", "qwen3_vl", "video_llava", "llava_onevision")


@pytest.fixture(scope="module", params=VIDEO)
def film(request):
    """A tiny model of a family that takes video, and a prompt with two videos."""
    recipe = RECIPES[request.param]
    return recipe, recipe.build("sdpa")


def still(recipe: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The same videos, every frame like the first."""
    pixels = inputs["pixel_values_videos"].clone()
    if "video_grid_thw" in inputs:
        start = 0
        for frames, height, width in inputs["video_grid_thw"].tolist():
            end = start + frames * height * width
            pixels[start:end] = pixels[start : start + height * width].repeat(frames, 1)
            start = end
    else:
        pixels[:] = pixels[:, :1]
    return {**inputs, "pixel_values_videos": pixels}


@pytest.mark.parametrize("unit", ["part", "whole"])
def test_a_still_video_costs_one_frame_and_the_least_of_the_others(film, unit):
    recipe, model = film
    inputs = batch(recipe, [[2, "v", 5], [3, "v", 9]])
    method = ApET(tolerance=0.1, basis_size=2, unit=unit)
    moving, motionless = kept(model, method, inputs), kept(model, method, still(recipe, inputs))
    if unit == "whole":
        assert len(motionless) == 2
        first = kept(model, ApET(tolerance=0.1, basis_size=2), still(recipe, inputs))
        frames = len(first) // 2
        assert motionless == first[::frames]
        assert all(1.5 * few < many for few, many in zip(motionless, moving, strict=True))
        return
    frames = len(motionless) // 2
    assert frames >= 2
    for video in (motionless[:frames], motionless[frames:]):
        assert video[0] > 2
        assert video[1:] == [2] * (frames - 1)
    assert min(moving) > 2


def test_videos_of_a_batch_generate_what_they_do_alone(film):
    recipe, model = film
    rows = [[2, "v", 5], [3, "v", 2, "v", 9]]
    for method in (
        ApET(tolerance=0.1, basis_size=2, budget="shared"),
        ApET(6, basis_size=2, budget="shared", stage2=Stage2(recipe.layer, 2)),
    ):
        with compressing(model, method) as session:
            options = {"max_new_tokens": 4, "do_sample": False}
            together = model.generate(**batch(recipe, rows), **options)
            assert len({image.tokens_stage1 for image in session.images}) > 1
            for number in range(2):
                alone = model.generate(**single_row(recipe, rows, number), **options)
                assert torch.equal(alone[0, -4:], together[number, -4:])


def test_the_names_are_there():
    assert apet.Segment is Segment
