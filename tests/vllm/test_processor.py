"""Prompts and hashes, by vLLM's processors alone: no engine, so it takes seconds."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

import apet
from apet.core import resolve_keep
from apet.vllm import parts as fields
from apet.vllm.counts import COUNT, Count
from apet.vllm.parts import parts_in
from apet.vllm.positions import lengthen, number_prompt, pack, unpack, write_chunk
from tests.vllm.processing import TIMED, film, picture, processor_of
from tests.vllm.tables import MARKS

PARTS = {
    ("llava", "image"): [64],
    ("llava_next", "image"): [64, 48, 48, 48, 48],
    ("llava_onevision", "image"): [64, 48, 48, 48, 48],
    ("llava_onevision", "video"): [16] * 8,
    ("qwen2_5_vl", "image"): [35],
    ("qwen2_5_vl", "video"): [16] * 4,
    ("exaone4_5", "image"): [35],
    ("exaone4_5", "video"): [16] * 4,
    ("qwen2_vl", "image"): [35],
    ("qwen2_vl", "video"): [16] * 4,
    ("qwen3_vl", "image"): [24],
    ("qwen3_vl", "video"): [16] * 4,
    ("qwen3_vl_moe", "image"): [24],
    ("qwen3_vl_moe", "video"): [16] * 4,
    ("qwen3_5_moe", "image"): [24],
    ("qwen3_5_moe", "video"): [16] * 4,
    ("internvl_chat", "image"): [16] * 5,
    ("internvl_chat", "video"): [16] * 8,
    ("llava_next_video", "video"): [49] * 8,
    ("glm4v", "image"): [35],
    ("glm4v_moe", "image"): [35],
    ("glm_ocr", "image"): [35],
    ("paddleocr_vl", "image"): [35],
    ("cohere2_vision", "image"): [16] * 5,
    ("lfm2_vl", "image"): [16, 16, 16, 16, 12],
    ("idefics3", "image"): [16] * 5,
    ("smolvlm", "image"): [16] * 5,
    ("cosmos3", "image"): [24],
    ("cosmos3", "video"): [16] * 4,
    ("cosmos3_edge", "image"): [24],
    ("cosmos3_edge", "video"): [16] * 8,
    ("qianfan_ocr", "image"): [16] * 5,
    ("aria", "image"): [16],
    ("minicpmv4_6", "image"): [15],
    ("minicpmv4_6", "video"): [16] * 8,
    ("minicpmv4_7", "image"): [15],
    ("minicpmv4_7", "video"): [16] * 8,
    ("paligemma", "image"): [64],
    ("granite4_vision", "image"): [64, 48, 48, 48, 48],
    ("gemma4_unified", "image"): [70],
    ("gemma4_unified", "video"): [64] * 8,
    ("gemma4", "image"): [70],
    ("gemma4", "video"): [64] * 8,
}
"""Tokens of every tile or frame of a 200 x 140 picture, and of a video of 8 frames of 112 x 112."""
NEWLINES = {
    ("granite4_vision", "image"): 12,
    ("llava_next", "image"): 12,
    ("llava_onevision", "image"): 12,
    ("llava_onevision", "video"): 1,
}


@pytest.fixture(scope="module")
def processed(checkpoint):
    """A prompt with a picture or a video, as a server with these options would process it."""
    made = {}

    def process(name, modality, request=None, seed=1, **options):
        key = (name, *options.items())
        if key not in made:
            made[key] = processor_of(checkpoint(name), name, **options)
        processor = made[key]
        if modality == "image":
            data = {"image": [picture(seed, 200, 140)]}
        else:
            pixels, about = film(seed)
            data = {"video": [(pixels, about) if name.startswith(TIMED) else pixels]}
        items = processor.info.parse_mm_data(data)
        return processor(f"so: {MARKS[name][modality]} what?", items, hf_processor_mm_kwargs=request or {})

    return process


def embeds(result, modality):
    (place,) = result["mm_placeholders"][modality]
    return place.get_num_embeds()


@pytest.mark.parametrize("keep", [0.25, 5, 0.1])
@pytest.mark.parametrize(("name", "modality"), PARTS)
def test_every_tile_and_frame_keeps_its_budget(processed, name, modality, keep):
    result = processed(name, modality, {COUNT: (count := Count())}, keep=keep)
    sizes, newlines = PARTS[name, modality], NEWLINES.get((name, modality), 0)
    parts = parts_in(result["mm_kwargs"][modality][0])
    assert torch.bincount(parts.of.long() + 1, minlength=len(sizes) + 1).tolist() == [newlines, *sizes]
    want = [resolve_keep(keep, size) for size in sizes]
    assert parts.kept.tolist() == want
    assert embeds(result, modality) == parts.total == sum(want) + newlines
    assert count.of == {modality: (1, sum(sizes) + newlines, parts.total)}


@pytest.mark.parametrize(("name", "modality"), PARTS)
def test_everything_kept_is_the_plain_prompt(processed, name, modality):
    plain, full = processed(name, modality), processed(name, modality, keep=1.0)
    short = processed(name, modality, keep=0.5)
    assert full["prompt_token_ids"] == plain["prompt_token_ids"]
    assert full["mm_placeholders"] == plain["mm_placeholders"]
    assert len(short["prompt_token_ids"]) < len(plain["prompt_token_ids"])


@pytest.mark.parametrize(("name", "modality"), [("llava", "image"), ("qwen3_vl", "video")])
def test_budgets_never_share_a_hash(processed, name, modality):
    def of(request=None, seed=1, **options):
        (found,) = processed(name, modality, request, seed, **options)["mm_hashes"][modality]
        return found

    different = [
        of(),
        of(keep=1.0),
        of(keep=0.5),
        of({"apet_keep": 0.25}, keep=0.5),
        of({"apet_keep": 1}, keep=0.5),
        of(keep=0.5, merge=False),
        of(keep=0.5, seed=2),
    ]
    assert len(set(different)) == len(different)
    assert of(keep=0.5) == of({"apet_keep": 0.5}, keep=0.5)
    assert of({"apet_keep": 0.25}, keep=0.5) == of({"apet_keep": 0.25}, keep=0.5)


def test_budgets_never_share_a_name_that_the_caller_gave(checkpoint):
    """A caller may name a picture, so that it is not hashed."""
    found = set()
    for keep, request in ((0.5, {}), (0.25, {}), (0.5, {"apet_keep": 0.1})):
        processor = processor_of(checkpoint("llava"), "llava", keep=keep)
        items = processor.info.parse_mm_data({"image": [picture(1)]})
        result = processor(
            "so: <image> what?", items, mm_uuid_items={"image": ["mine"]}, hf_processor_mm_kwargs=request
        )
        found.update(result["mm_hashes"]["image"])
    assert len(found) == 3


def test_a_request_has_its_own_budget_up_to_the_server_s(processed):
    assert embeds(processed("llava", "image", {"apet_keep": 4}, keep=0.25), "image") == 4
    assert embeds(processed("llava", "image", {"apet_keep": 16}, keep=0.25), "image") == 16
    with pytest.raises(ValueError, match=r"17 of 64 tokens\); expected at most the server's 0.25 \(16\)"):
        processed("llava", "image", {"apet_keep": 17}, keep=0.25)
    with pytest.raises(ValueError, match="apet_keep"):
        processed("llava", "image", {"apet_keep": "many"}, keep=0.25)


def test_a_count_above_an_image_s_tokens_keeps_them_all(processed):
    assert embeds(processed("qwen2_5_vl", "image", keep=1000), "image") == 35


def test_features_that_a_client_computed_stay_as_many(checkpoint):
    processor = processor_of(checkpoint("llava"), "llava", enable_mm_embeds=True, keep=5)
    items = processor.info.parse_mm_data({"image": [torch.zeros(7, 128)]})
    result = processor("so: <image> what?", items, hf_processor_mm_kwargs={COUNT: (count := Count())})
    assert embeds(result, "image") == 7
    assert count.of == {"image": (1, 7, 7)}


def test_no_one_budget_for_frames_with_text_between_them(processed):
    with pytest.raises(apet.ApETError, match="unit='whole'"):
        processed("qwen3_vl", "video", keep=0.5, unit="whole")
    assert embeds(processed("qwen2_5_vl", "video", keep=0.5, unit="whole"), "video") == 32


def test_numbers_survive_half_precision():
    numbers = torch.tensor([0, 255, 256, 65536, 16_000_001])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        rows = torch.randn(5, 8).to(dtype)
        found, own = unpack(torch.cat((rows, pack(numbers, dtype)), 1))
        assert torch.equal(own, numbers)
        assert torch.equal(found, rows)


@pytest.mark.parametrize(("name", "modality"), PARTS)
def test_the_lengthened_prompt_is_the_plain_one(processed, name, modality):
    """And a token of the short prompt is numbered as one of the same part of it."""
    plain, short = processed(name, modality), processed(name, modality, keep=0.25)
    feature = MultiModalFeatureSpec(
        data=short["mm_kwargs"][modality][0],
        modality=modality,
        identifier="x",
        mm_position=short["mm_placeholders"][modality][0],
    )
    full, index, (moved,), (visual,) = lengthen(short["prompt_token_ids"], [feature])
    assert full == plain["prompt_token_ids"]
    place = plain["mm_placeholders"][modality][0]
    assert moved.mm_position == replace(place, is_embed=None)
    assert [full[number] for number in index.tolist()] == short["prompt_token_ids"]
    embeds = torch.arange(place.length) if place.is_embed is None else place.is_embed.nonzero()[:, 0]
    assert visual == (place.offset + embeds).tolist()


def feature_of(offset, embeds, sizes, kept):
    """An image or video of parts of these sizes."""
    of = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).int()
    item = {fields.PARTS: SimpleNamespace(data=of), fields.KEPT: SimpleNamespace(data=torch.tensor(kept))}
    place = PlaceholderRange(offset=offset, length=len(embeds), is_embed=torch.tensor(embeds).bool())
    return MultiModalFeatureSpec(data=item, modality="image", identifier="x", mm_position=place)


def test_positions_are_written_chunk_by_chunk():
    """Two images, one of two runs; a chunk begins inside the first run, and any may run again. What is
    written lies by an image's place in the prompt, whatever the tokens are."""
    features = [feature_of(1, [1, 1, 1, 0, 1, 1], [6, 5], [3, 2]), feature_of(8, [1], [4], [1])]
    positions, delta = number_prompt(
        [9] * 10, features, lambda tokens, _: (torch.arange(len(tokens)) * torch.ones(3, 1).long(), 0)
    )
    assert delta == 9
    assert positions.tolist() == [[0, 1, 1, 1, 7, 8, 8, 13, 14, 18]] * 3
    numbers = [torch.tensor([0, 4, 5, 6, 10]), torch.tensor([2])]
    rows = [torch.cat((torch.ones(len(own), 4), pack(own, torch.float32)), 1) for own in numbers]
    want = [[0, 1, 5, 6, 7, 8, 12, 13, 16, 18]] * 3

    def write(given, start, end):
        cleaned, found = write_chunk(positions, features, given, start, end)
        assert found == delta
        assert [len(one) for one in cleaned] == [len(one) for one in given]
        assert all(one.shape[1] == 4 for one in cleaned)

    write([rows[0][:2]], 0, 3)
    assert positions[0].tolist() == [0, 1, 5, 1, 7, 8, 8, 13, 14, 18]
    write([rows[0][2:], rows[1]], 3, 9)
    assert positions.tolist() == want
    write([rows[0][1:4]], 2, 6)
    write([], 9, 10)
    assert positions.tolist() == want
