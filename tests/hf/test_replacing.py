"""No image and a smaller one, against runs whose inputs are built that way by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.methods import Downsample, NoImage
from tests.hf.cases import PROMPTS
from tests.hf.families import RECIPES
from tests.hf.families.recipe import IMAGE, batch
from tests.hf.families.recipe import single as one_of
from tests.hf.test_undo import snapshot
from tests.hf.tiny import IMAGE_TOKEN, TOKENS, prompts, single, tiny_llava

TOLERANCE = 1e-4
OPTIONS = {"max_new_tokens": 5, "do_sample": False}


def continued(model, inputs, out, fed=None):
    """Logits of the prompt's end and of a few decoded tokens, counting positions on from a mask of ones."""
    logits, mask, cache, tokens = [out.logits[:, -1]], inputs["attention_mask"], out.past_key_values, []
    for step in range(3):
        tokens.append(logits[-1].argmax(-1, keepdim=True) if fed is None else fed[step])
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        out = model(input_ids=tokens[-1], attention_mask=mask, past_key_values=cache)
        logits.append(out.logits[:, -1])
    return torch.stack(logits), tokens


def new_tokens(model, inputs):
    return model.generate(**inputs, **OPTIONS)[:, inputs["input_ids"].shape[1] :]


@pytest.mark.parametrize("rows", ["one", "ragged", "text row"])
def test_no_image_is_the_prompt_without_it(llava, rows):
    inputs = prompts(PROMPTS[rows])
    for row in range(len(inputs["input_ids"])):
        own = single(inputs, row)
        ids = own["input_ids"][own["input_ids"] != IMAGE_TOKEN][None]
        bare = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        expected, fed = continued(llava, bare, llava(**bare))
        if "pixel_values" in own:
            with compressing(llava, NoImage()) as session:
                found, _ = continued(llava, own, llava(**own), fed)
                assert session.kept_stage1 == 0
                assert session.images[0].indices.shape == (0,)
            assert (found - expected).abs().max() < TOLERANCE
            assert not torch.equal(llava(**own).logits[:, -1], expected[0])
        with compressing(llava, NoImage()):
            assert torch.equal(new_tokens(llava, inputs)[row], new_tokens(llava, bare)[0])


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "llava_next", "gemma3"])
def test_no_image_in_other_families(name):
    recipe = RECIPES[name]
    model = recipe.build("sdpa")
    inputs = one_of(recipe, recipe.prompts["image"], 0)
    placeholder = inputs["input_ids"] == IMAGE
    bare = {
        key: inputs[key][~placeholder][None]
        for key in ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
        if key in inputs
    }
    expected = new_tokens(model, bare)
    with compressing(model, NoImage()) as session:
        assert torch.equal(new_tokens(model, inputs), expected)
        assert session.kept_stage1 == 0
        assert session.visual_tokens > 0


@pytest.mark.parametrize("keep", [4, 12, 0.5])
@pytest.mark.parametrize("rows", ["one", "ragged"])
def test_llava_sees_the_smaller_picture(llava, rows, keep):
    inputs = prompts(PROMPTS[rows])
    height, width = {4: (2, 2), 12: (3, 4), 0.5: (4, 4)}[keep]
    for row in range(len(inputs["input_ids"])):
        own = single(inputs, row)
        small = interpolate(
            own["pixel_values"], (height * 4, width * 4), mode="bicubic", antialias=True, align_corners=False
        )
        features = llava.get_image_features(small, interpolate_pos_encoding=True, return_dict=True)
        ids, place = [], 0
        for token in own["input_ids"][0].tolist():
            place = place % TOKENS + 1 if token == IMAGE_TOKEN else 0
            if place <= height * width:
                ids.append(token)
        ids = torch.tensor([ids])
        bare = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        expected, fed = continued(llava, bare, llava(**bare, mm_encoder_outputs={"image": features}))
        with compressing(llava, Downsample(keep)) as session:
            found, _ = continued(llava, own, llava(**own), fed)
            assert {image.tokens_stage1 for image in session.images} == {height * width}
            together = new_tokens(llava, inputs)[row]
            assert torch.equal(together, new_tokens(llava, own)[0])
        assert (found - expected).abs().max() < TOLERANCE


def shrunk(pixels, grid, small):
    """A tiny Qwen's patches (4 x 4 pixels, 2 frames, windows of 2 x 2) of a smaller picture, one by one."""
    (_, height, width), (rows, columns) = grid, small
    picture = torch.zeros(6, height * 4, width * 4)
    order = [(i, j) for i in range(0, height, 2) for j in range(0, width, 2)]
    order = [(i + a, j + b) for i, j in order for a in (0, 1) for b in (0, 1)]
    for patch, (i, j) in zip(pixels, order, strict=True):
        cube = patch.view(3, 2, 4, 4).transpose(0, 1).reshape(6, 4, 4)
        picture[:, i * 4 : i * 4 + 4, j * 4 : j * 4 + 4] = cube
    picture = interpolate(picture[None], (rows * 8, columns * 8), mode="bicubic", antialias=True)[0]
    order = [(i, j) for i in range(0, 2 * rows, 2) for j in range(0, 2 * columns, 2)]
    order = [(i + a, j + b) for i, j in order for a in (0, 1) for b in (0, 1)]
    cubes = [picture[:, i * 4 : i * 4 + 4, j * 4 : j * 4 + 4] for i, j in order]
    return torch.stack([cube.reshape(2, 3, 4, 4).transpose(0, 1).flatten() for cube in cubes])


@pytest.mark.parametrize(
    ("piece", "keep", "small"), [("i", 4, (2, 2)), ("j", 6, (2, 3)), ("j", 0.34, (2, 4))]
)
@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_qwen_sees_the_smaller_picture(name, piece, keep, small):
    recipe = RECIPES[name]
    model = recipe.build("sdpa")
    inputs = batch(recipe, [[3, piece, 5]])
    ids = inputs["input_ids"][0]
    places = (ids == IMAGE).nonzero()[:, 0]
    stays = torch.ones_like(ids, dtype=torch.bool)
    stays[places[small[0] * small[1] :]] = False
    bare = {key: inputs[key][:, stays] for key in ("input_ids", "attention_mask", "mm_token_type_ids")}
    bare["pixel_values"] = shrunk(inputs["pixel_values"], inputs["image_grid_thw"][0].tolist(), small)
    bare["image_grid_thw"] = torch.tensor([[1, 2 * small[0], 2 * small[1]]])
    prefill = model(**bare).logits[:, -1]
    expected = new_tokens(model, bare)
    with compressing(model, Downsample(keep)) as session:
        assert (model(**inputs).logits[:, -1] - prefill).abs().max() < TOLERANCE
        assert session.images[0].tokens_stage1 == small[0] * small[1]
        assert torch.equal(new_tokens(model, inputs), expected)


def test_qwen_videos_are_refused():
    recipe = RECIPES["qwen2_5_vl"]
    model = recipe.build("sdpa")
    with compressing(model, Downsample(4)), pytest.raises(ApETError, match="a video under Downsample"):
        model(**batch(recipe, [["v", 5]]))


@pytest.mark.parametrize("name", ["llava_next", "internvl", "mistral3", "gemma3"])
def test_families_that_take_no_smaller_picture_say_so(name):
    model = RECIPES[name].build("sdpa")
    before = snapshot(model)
    with pytest.raises(ApETError, match=r"apply: got Downsample for .*expected LLaVA-1\.5"):
        apply(model, Downsample(4))
    assert snapshot(model) == before


def test_a_full_budget_changes_nothing(llava):
    inputs = prompts(PROMPTS["ragged"])
    expected = llava(**inputs).logits
    with compressing(llava, Downsample(1.0)):
        torch.testing.assert_close(llava(**inputs).logits, expected)


def test_nothing_is_left_behind():
    model = tiny_llava()
    inputs = prompts(PROMPTS["one"])
    plain = model(**inputs).logits
    before = snapshot(model)
    for method in (NoImage(), Downsample(4)):
        with compressing(model, method):
            assert not torch.equal(model(**inputs).logits, plain)
        assert snapshot(model) == before
        assert torch.equal(model(**inputs).logits, plain)
