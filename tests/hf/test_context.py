"""What a method is told besides the tokens: the right places, frames and text, wherever it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from apet.core import ApETError
from apet.hf import apply, compressing
from apet.hf.families import FAMILIES
from apet.methods import ApET, Context, Informed, Picked, Stage2
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch, single
from tests.hf.test_grids import TOLD
from tests.hf.tiny import IMAGE_TOKEN, prompts
from tests.hf.tiny import single as one_row

SEEN: list[tuple[torch.Tensor, Context]] = []


@dataclass(frozen=True)
class Records(Informed):
    """Keeps the first tokens, and writes down what it was told."""

    needs: ClassVar[frozenset[str]] = frozenset({"places"})

    def pick(self, tokens, kept, context):
        SEEN.append((tokens.data.clone(), context))
        return Picked(torch.arange(kept).expand(len(tokens.data), -1))


@dataclass(frozen=True)
class Reads(Records):
    """The same with the prompt: keeps what is most like the text's mean, so the text decides."""

    needs: ClassVar[frozenset[str]] = frozenset({"places", "prompt"})

    def pick(self, tokens, kept, context):
        super().pick(tokens, kept, context)
        likeness = (tokens.data @ context.prompt.mean(1)[:, :, None])[..., 0]
        ranked = likeness.sort(dim=1, descending=True, stable=True).indices
        return Picked(ranked[:, :kept].sort(dim=1).values)


@pytest.fixture(autouse=True)
def _blank():
    SEEN.clear()


def told():
    """Every image that was decided on: its tokens, places, extents, and whether it is a video."""
    return [
        (own, index, context.places.extents, context.places.video)
        for tokens, context in SEEN
        for own, index in zip(tokens, context.places.index, strict=True)
    ]


def restated(result):
    """Places of an image's tokens by the grids of its result, one token at a time."""
    found = []
    for row in result.rows.tolist():
        found += [(n, *place) for n, grid in enumerate(result.grids) if (place := grid.place(row))]
    used = sorted({n for n, _, _ in found})
    least = {n: [min(place[axis] for place in found if place[0] == n) for axis in (1, 2)] for n in used}
    return [(used.index(n), row - least[n][0], column - least[n][1]) for n, row, column in found]


@pytest.mark.parametrize("unit", ["part", "whole"])
@pytest.mark.parametrize("name", TOLD)
def test_every_family_that_tells_grids_tells_places(name, unit):
    recipe = RECIPES[name]
    kinds = {one.name: one.grids is not None for one in FAMILIES[name.split(" ")[0]].modalities}
    model = recipe.build(recipe.attention[0])
    for rows in recipe.prompts.values():
        SEEN.clear()
        inputs = batch(recipe, rows)
        with compressing(model, ApET(1, unit=unit)) as session:
            model(**inputs)
            results = list(session.images)
        untold = [result for result in results if not kinds[result.modality] and result.tokens > 1]
        with compressing(model, Records(1, unit=unit)) as session:
            if untold:
                with pytest.raises(ApETError, match="which does not tell where its tokens lie"):
                    model(**inputs)
                continue
            model(**inputs)
        found = told()
        wanted = [result for result in results if result.tokens > 1]
        assert len(found) == len(wanted)
        for result in wanted:
            places = restated(result)
            video = result.modality == "video"
            match = [
                number
                for number, (_, index, _, is_video) in enumerate(found)
                if [tuple(place) for place in index.tolist()] == places and is_video == video
            ]
            assert match, (places, found)
            _, index, extents, _ = found.pop(match[0])
            for grid, (height, width) in enumerate(extents):
                own = index[index[:, 0] == grid]
                assert own[:, 1:].amin(0).tolist() == [0, 0]
                assert (own[:, 1:].amax(0) + 1).tolist() == [height, width]
            if video and unit == "whole" and len(result.grids) > 1:
                assert len(extents) == len(result.grids), "a whole video has one grid per frame"


@pytest.mark.parametrize("name", [name for name in TOLD if "images" in RECIPES[name].prompts])
def test_a_batch_tells_what_each_row_tells_alone(name):
    recipe = RECIPES[name]
    model, rows = recipe.build(recipe.attention[0]), recipe.prompts["images"]

    def seen(inputs):
        SEEN.clear()
        with compressing(model, Records(1)):
            model(**inputs)
        return [(index.tolist(), extents) for _, index, extents, _ in told()]

    together = sorted(seen(batch(recipe, rows)))
    assert together == sorted(one for n in range(len(rows)) for one in seen(single(recipe, rows, n)))


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
def test_inside_the_language_model_the_places_of_what_is_left(llava, at):
    inputs = prompts([["i", 2, "i", 5], [3, "i", 9]])
    with compressing(llava, Records(12, at=at, stage2=Stage2(2, 5))) as session:
        llava(**inputs)
        first = session.images[0].stage1.indices
    assert [len(tokens) for tokens, _ in SEEN] == [3, 3]
    full, left = (context.places for _, context in SEEN)
    assert full.extents == left.extents == ((6, 6),)
    assert torch.equal(full.index[0], torch.cartesian_prod(*map(torch.arange, (1, 6, 6))))
    assert torch.equal(left.index, full.index[:, first])


def test_every_image_gets_the_text_of_its_row_without_padding(llava):
    inputs = prompts([["i", 2, "i", 5], [3, "i", 9]])
    with compressing(llava, Reads(12, stage2=Stage2(2, 5))) as session:
        whole = llava(**inputs).logits
        kept = [(one.stage1.indices, one.stage2.indices) for one in session.images]
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    texts = [row[own & (row != IMAGE_TOKEN)] for row, own in zip(ids, mask, strict=True)]
    seen = [(len(tokens), context.prompt) for tokens, context in SEEN]
    assert [count for count, _ in seen] == [2, 1, 2, 1], "images of one row stand together, twice"
    for (_, prompt), text in zip(seen[:2], texts, strict=True):
        assert all(torch.equal(one, llava.get_input_embeddings()(text)) for one in prompt)
    assert [prompt.shape[1] for _, prompt in seen[2:]] == [len(text) for text in texts]
    images = iter(kept)
    for number in range(2):
        with compressing(llava, Reads(12, stage2=Stage2(2, 5))) as session:
            logits = llava(**one_row(inputs, number)).logits
            for image in session.images:
                assert all(map(torch.equal, (image.stage1.indices, image.stage2.indices), next(images)))
        assert (logits[0, -1] - whole[number, -1]).abs().max() < 1e-3


def test_generate_is_told_what_forward_is_told(llava):
    inputs = prompts([["i", 2, "i", 5], [3, "i", 9]])
    with compressing(llava, Reads(12)) as session:
        llava(**inputs)
        forward = [image.indices for image in session.images]
        llava.generate(**inputs, max_new_tokens=2, do_sample=False)
        assert all(
            torch.equal(*pair) for pair in zip(forward, [i.indices for i in session.images], strict=True)
        )
        with pytest.raises(ApETError, match="prefill_chunk_size=16 under Reads"):
            llava.generate(**inputs, prefill_chunk_size=16, max_new_tokens=2)


def test_the_question_decides_and_the_method_says_so(llava):
    inputs = prompts([["i", 9]])
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, -9:] = other["input_ids"][0, -9:].flip(0) % 40 + 3
    kept = []
    with compressing(llava, Reads(4)) as session:
        for each in (inputs, other):
            llava(**each)
            kept.append(session.images[0].indices.tolist())
    assert kept[0] != kept[1]
    assert not Reads(4).blind
    assert Records(4).blind


def test_features_encoded_before_and_embeddings(llava):
    inputs = prompts([["i", 5]])
    with compressing(llava, Reads(12)) as session:
        llava(**inputs)
        kept = session.images[0].indices
        features = llava.get_image_features(pixel_values=inputs["pixel_values"])
        rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
        llava(**rest, mm_encoder_outputs={"image": features})
        assert torch.equal(session.images[0].indices, kept)
        embeds = llava.get_input_embeddings()(inputs["input_ids"])
        with pytest.raises(ApETError, match="Reads, which is told the prompt, for features"):
            llava(
                inputs_embeds=embeds,
                attention_mask=inputs["attention_mask"],
                pixel_values=inputs["pixel_values"],
            )


def test_what_cannot_be_told_is_refused():
    assert not Reads(4, at="auto").early
    with pytest.raises(ApETError, match=r"Reads: got at='projector_input'; expected at='auto'"):
        Reads(4, at="projector_input")
    name = next(
        name for name in RECIPES if all(one.grids is None for one in FAMILIES[name.split(" ")[0]].modalities)
    )
    model = RECIPES[name].build(RECIPES[name].attention[0])
    with pytest.raises(ApETError, match=r"apply: got Records for .*does not tell where its tokens lie"):
        apply(model, Records(2))
