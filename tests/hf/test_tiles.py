"""Tiles are put together to the images that they are of, by what the prompt has around them."""

from __future__ import annotations

import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.hf.families import FAMILIES
from apet.methods import ApET, Stage2
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch, single

ROWS: list[list[str | int]] = [["j", "i", "j", "i", "i", 5], [3, "i", 9], ["j", "j", 4]]
"""Images of several tiles and of one, some with nothing between them."""
TOLD = [
    name
    for name in RECIPES
    if any(kind.begins is not None for kind in FAMILIES[name.split(" ")[0]].modalities)
]


def found(recipe, method, rows):
    model = recipe.build(recipe.attention[0])
    with compressing(model, method) as session:
        model(**batch(recipe, rows))
        return session.images


def tiles_of(recipe, letter):
    """Tiles of one of a recipe's images, by its pixels."""
    tensors = recipe.pieces[letter](torch.Generator()).tensors
    sizes = tensors.get("target_sizes", tensors["pixel_values"])
    return len(sizes)


@pytest.mark.parametrize("name", TOLD)
def test_images_and_their_tiles(name):
    recipe = RECIPES[name]
    images = [
        (number, part)
        for number, part in enumerate(part for row in ROWS for part in row if part in ("i", "j"))
    ]
    expected = [(number, part) for number, letter in images for part in range(tiles_of(recipe, letter))]
    assert len({tiles_of(recipe, "i"), tiles_of(recipe, "j")}) == 2
    results = found(recipe, ApET(2, basis_size=1), ROWS)
    assert [(result.image, result.part) for result in results] == expected
    whole = found(recipe, ApET(2, basis_size=1, unit="whole"), ROWS)
    assert [result.image for result in whole] == [number for number, _ in images]
    told = found(recipe, ApET(lambda segment: 3 if segment.part else 1, basis_size=1), ROWS)
    assert [result.tokens_stage1 for result in told] == [3 if part else 1 for _, part in expected]


@pytest.mark.parametrize("name", [name for name in ("internvl", "idefics3", "llama4") if name in RECIPES])
def test_whole_images_share_and_generate(name):
    recipe = RECIPES[name]
    model = recipe.build("sdpa")
    method = ApET(6, basis_size=2, unit="whole", budget="shared", stage2=Stage2(2, 3))
    options = {"max_new_tokens": 4, "do_sample": False}
    with compressing(model, method) as session:
        together = model.generate(**batch(recipe, ROWS), **options)
        results = session.images
        for number in range(len(ROWS)):
            alone = model.generate(**single(recipe, ROWS, number), **options)
            assert torch.equal(alone[0, -4:], together[number, -4:])
    kept = [sum(result.tokens_stage1 for result in results if result.row == row) for row in range(3)]
    assert kept == [30, 6, 12]


def test_tiles_without_their_prompt_cannot_be_taken_whole():
    recipe = RECIPES["internvl"]
    model = recipe.build("sdpa")
    inputs = batch(recipe, ROWS)
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    for method in (ApET(4, unit="whole"), ApET(lambda segment: 4)):
        with compressing(model, method), pytest.raises(ApETError, match="encoded apart from their prompt"):
            model(**inputs, inputs_embeds=embeds)
    with compressing(model, ApET(4)):
        model(**inputs, inputs_embeds=embeds)


def test_what_the_prompt_does_not_tell_is_refused():
    with pytest.raises(ApETError, match="two images without text between them"):
        apply(RECIPES["idefics2"].build("sdpa"), ApET(4, unit="whole"))
    recipe = RECIPES["minicpmv4_6"]
    model = recipe.build("sdpa")
    with compressing(model, ApET(4, unit="whole")), pytest.raises(ApETError, match="two videos without text"):
        model(**batch(recipe, [["v", 3]]))
