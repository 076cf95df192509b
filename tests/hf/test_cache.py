"""The compressed cache as an object: rows, copies, crops, resets, and its end."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import StaticCache

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.tiny import prompts


def fill(model, rows="ragged"):
    inputs = prompts(PROMPTS[rows])
    position = inputs["attention_mask"].sum(1, keepdim=True)
    out = model(**inputs, position_ids=(inputs["attention_mask"].cumsum(1) - 1).clamp(min=0))
    return out.past_key_values, inputs["attention_mask"], position


def step(model, cache, mask, position, tokens):
    tokens = torch.tensor(tokens)
    count = tokens.shape[1]
    mask = torch.cat([mask, mask.new_ones(len(mask), count)], 1)
    positions = position + torch.arange(count)
    return model(input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache).logits


@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("stage", STAGES)
def test_rows_move_with_their_tables(llava, stage, positions):
    with compressing(llava, method(stage, positions=positions)):
        cache, mask, position = fill(llava)
        swapped, repeated, selected = (copy.deepcopy(cache) for _ in range(3))
        expected = step(llava, cache, mask, position, [[5], [9]])
        swap = torch.tensor([1, 0])

        swapped.reorder_cache(swap)
        out = step(llava, swapped, mask[swap], position[swap], [[9], [5]])
        torch.testing.assert_close(out, expected[swap], atol=1e-5, rtol=0)

        repeated.batch_repeat_interleave(2)
        twice = torch.tensor([0, 0, 1, 1])
        out = step(llava, repeated, mask[twice], position[twice], [[5], [5], [9], [9]])
        torch.testing.assert_close(out, expected[twice], atol=1e-5, rtol=0)

        selected.batch_select_indices(torch.tensor([1]))
        out = step(llava, selected, mask[1:], position[1:], [[9]])
        torch.testing.assert_close(out, expected[1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("stage", STAGES)
def test_crop_takes_back_decoded_tokens(llava, stage):
    with compressing(llava, method(stage)):
        cache, mask, position = fill(llava)
        expected = step(llava, copy.deepcopy(cache), mask, position, [[5], [9]])
        step(llava, cache, mask, position, [[3, 4, 8], [6, 7, 2]])
        cache.crop(-3)
        assert cache.get_seq_length() == mask.shape[1]
        torch.testing.assert_close(
            step(llava, cache, mask, position, [[5], [9]]), expected, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("stage", STAGES)
def test_crop_takes_back_the_prompts_last_text(llava, stage):
    """Text behind the last image may go, as prompt lookup needs it; the image may not."""
    with compressing(llava, method(stage)):
        cache, mask, position = fill(llava, "equal")  # 5 and 9 tokens of text behind the images
        expected = step(llava, copy.deepcopy(cache), mask, position, [[5], [9]])
        cache.crop(-2)
        ids = prompts(PROMPTS["equal"])["input_ids"][:, -2:]
        step(llava, cache, mask[:, :-2], position - 2, ids.tolist())
        torch.testing.assert_close(
            step(llava, cache, mask, position, [[5], [9]]), expected, atol=1e-4, rtol=0
        )

        cache, mask, position = fill(llava, "equal")
        before = cache.get_seq_length()
        with pytest.raises(ApETError, match=r"crop: .*at most"):
            cache.crop(-30)
        assert cache.get_seq_length() == before


def test_reset_gives_a_plain_cache(llava):
    with compressing(llava, method("both")):
        inputs = prompts(PROMPTS["one"])
        cache = StaticCache(config=llava.config.get_text_config(), max_cache_len=64)
        expected = llava(**inputs, past_key_values=cache).logits
        assert type(cache) is not StaticCache
        assert isinstance(cache, StaticCache)
        cache.reset()
        assert type(cache) is StaticCache
        assert cache.get_seq_length() == 0
        torch.testing.assert_close(llava(**inputs, past_key_values=cache).logits, expected)


def test_copies_are_independent(llava):
    with compressing(llava, method("both")):
        cache, mask, position = fill(llava)
        copied = copy.deepcopy(cache)
        step(llava, copied, mask, position, [[5], [9]])
        assert copied.get_seq_length() == cache.get_seq_length() + 1


def test_a_compressed_cache_ends_with_its_compression(llava):
    inputs = prompts(PROMPTS["one"])
    with compressing(llava, method("stage 1")):
        out = llava.generate(**inputs, max_new_tokens=2, do_sample=False, return_dict_in_generate=True)
    copied = copy.deepcopy(out.past_key_values)
    sequence = torch.cat([out.sequences, torch.tensor([[7, 9]])], 1)
    for cache in (out.past_key_values, copied):
        with pytest.raises(ApETError, match="compression which has been removed"):
            llava(input_ids=torch.tensor([[5]]), past_key_values=cache)
        with pytest.raises(ApETError, match="compression which has been removed"):
            llava.generate(input_ids=sequence, past_key_values=cache, max_new_tokens=2)
    apply(llava, method("both"))
    with pytest.raises(ApETError, match="under another compression"):
        llava(input_ids=torch.tensor([[5]]), past_key_values=copied)
    remove(llava)


def test_a_4d_mask_over_the_uncompressed_sequence_is_refused(llava):
    with compressing(llava, method("stage 1")):
        cache, mask, _ = fill(llava, "equal")
        full = torch.ones(2, 1, 1, mask.shape[1] + 1, dtype=torch.bool)
        with pytest.raises(ApETError, match="4D attention mask"):
            llava(input_ids=torch.tensor([[5], [9]]), attention_mask=full, past_key_values=cache)


@pytest.mark.parametrize("stage", STAGES)
def test_crops_add_up(llava, stage):
    """What may be cropped is the text behind the image, in one crop or in several."""
    with compressing(llava, method(stage)):
        cache = llava(**prompts([["i", 5]])).past_key_values
        cache.crop(-2)
        cache.crop(-2)
        with pytest.raises(ApETError, match=r"crop: .*at most 1,"):
            cache.crop(-2)
        cache.crop(-1)


@pytest.mark.parametrize("columns", [-1, 1])
@pytest.mark.parametrize("stage", STAGES)
def test_masks_of_another_width_are_refused(llava, stage, columns):
    """Columns would be taken for others than those that the caller means."""
    with compressing(llava, method(stage)):
        cache, mask, _ = fill(llava)
        wrong = torch.ones(len(mask), mask.shape[1] + 1 + columns, dtype=mask.dtype)
        with pytest.raises(ApETError, match=f"mask of {wrong.shape[1]} columns for {mask.shape[1]} tokens"):
            llava(input_ids=torch.tensor([[5], [9]]), attention_mask=wrong, past_key_values=cache)
