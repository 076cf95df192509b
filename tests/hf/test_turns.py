"""Further turns with images on a filled cache, and prompts in chunks, against one masked full-length run."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import StaticCache

from apet.hf import compressing
from apet.hf import session as session_of
from tests.hf.cases import STAGES, method
from tests.hf.oracle import dropped, masked
from tests.hf.test_oracle import TOLERANCE, kept_positions
from tests.hf.tiny import IMAGE_TOKEN, TOKENS, prompts

STEPS = 2
TURNS = {
    "one": ([["i", 5]], [[2, "i", 3]]),
    "text first": ([[5]], [["i", 4]]),
    "text between": ([["i", 5]], [[4]], [["i", 3]]),
    "batch": ([["i", 2, "i", 5], [3, "i", 9]], [["i", 5], [3, "i", 9]]),
    "ragged batch": ([["i", 5], [3, "i", "i", 9]], [["i", 2, "i", 1], [6, "i", 7]]),
    "text rows": ([[7], ["i", 4]], [["i", 5], [3]], [["i", 5], ["i", 2]]),
    "text first, ragged": ([[7], [4]], [["i", 5], [2]]),
}
"""Rows of every turn, see `tests.hf.tiny.prompts`."""


def joined(turns, fed):
    """All turns as one prompt: ids, mask and pixels, with the tokens that were decoded between them."""
    rows = len(turns[0]["input_ids"])
    ids, mask = [], []
    for turn, tokens in zip(turns, fed, strict=True):
        ids += [turn["input_ids"], *tokens]
        mask += [turn["attention_mask"], *map(torch.ones_like, tokens)]
    pixels = []
    for row in range(rows):
        for turn in turns:
            counts = (turn["input_ids"] == IMAGE_TOKEN).sum(1) // TOKENS
            first = int(counts[:row].sum())
            pixels += list(turn.get("pixel_values", ())[first : first + int(counts[row])])
    return torch.cat(ids, 1), torch.cat(mask, 1), torch.stack(pixels)


def greedy(logits):
    """The next token, which must not be a placeholder."""
    return logits.index_fill(-1, torch.tensor(IMAGE_TOKEN), -torch.inf).argmax(-1, keepdim=True)


def take_turns(model, turns, cache=None):
    """Read every turn and decode a few tokens after it, by hand.

    Returns:
        Logits of every turn's last token and of every step, the fed tokens, the results, and the cache.
    """
    logits, fed, images = [], [], []
    mask = torch.empty(len(turns[0]["input_ids"]), 0, dtype=torch.long)
    session = session_of(model)

    def forward(tokens, new, **pixels):
        nonlocal mask, cache
        mask = torch.cat([mask, new], 1)
        position = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = model(
            input_ids=tokens, attention_mask=mask, position_ids=position, past_key_values=cache, **pixels
        )
        cache = out.past_key_values
        logits.append(out.logits[:, -1])
        assert out.logits.shape[1] == tokens.shape[1]
        assert int(cache.get_seq_length()) == mask.shape[1]

    for turn in turns:
        pixels = {"pixel_values": turn["pixel_values"]} if "pixel_values" in turn else {}
        forward(turn["input_ids"], turn["attention_mask"], **pixels)
        images += session.images if pixels else ()
        fed.append([])
        for _ in range(STEPS):
            fed[-1].append(greedy(logits[-1]))
            forward(fed[-1][-1], torch.ones_like(fed[-1][-1]))
    return logits, fed, sorted(images, key=lambda image: image.row), cache


def expected_logits(model, turns, fed, images, chosen):
    """Logits of the plain model at the same places, from one run over everything."""
    ids, mask, pixels = joined(turns, fed)
    first, second = dropped(model.config, ids, images)
    assert first.any() or second.any()
    positions = kept_positions(mask.bool(), first, chosen.positions)
    with masked(
        model.model.language_model, mask.bool(), first, second, chosen.stage2.layer if chosen.stage2 else 99
    ):
        out = model(input_ids=ids, pixel_values=pixels, position_ids=positions).logits
    places, end = [], 0
    for turn, tokens in zip(turns, fed, strict=True):
        end += turn["input_ids"].shape[1]
        places += range(end - 1, end + len(tokens))
        end += len(tokens)
    return [out[:, place] for place in places]


def made(rows):
    return [prompts(turn, seed=seed) for seed, turn in enumerate(TURNS[rows], 1)]


def worst(got, expected):
    return max((a - b).abs().max() for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", TURNS)
def test_turns_match_the_masked_run(models, rows, stage, attention):
    model, turns, chosen = models[attention], made(rows), method(stage, merge=False)
    with compressing(model, chosen):
        logits, fed, images, _ = take_turns(model, turns)
    expected = expected_logits(model, turns, fed, images, chosen)
    assert worst(logits, expected) < TOLERANCE


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["text between", "ragged batch", "text rows"])
def test_contiguous_turns_match_the_masked_run(llava, rows, stage):
    turns, chosen = made(rows), method(stage, merge=False, positions="contiguous")
    with compressing(llava, chosen):
        logits, fed, images, _ = take_turns(llava, turns)
    expected = expected_logits(llava, turns, fed, images, chosen)
    assert worst(logits, expected) < TOLERANCE


def test_the_oracle_can_fail(llava):
    """One other token of the second turn's image moves the logits by far more than the tolerance."""
    turns, chosen = made("one"), method("both", merge=False)
    with compressing(llava, chosen):
        logits, fed, images, _ = take_turns(llava, turns)
    swapped = [images[0], copy.copy(images[1])]
    stage = copy.copy(images[1].stage2)
    object.__setattr__(stage, "indices", images[1].stage1.indices[-len(stage.indices) :])
    assert not torch.equal(stage.indices, images[1].stage2.indices)
    object.__setattr__(swapped[1], "stage2", stage)
    assert worst(logits, expected_logits(llava, turns, fed, swapped, chosen)) > 100 * TOLERANCE


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", TURNS)
def test_static_turns_equal_dynamic_ones(llava, rows, stage):
    turns = made(rows)
    static = StaticCache(config=llava.config.get_text_config(), max_cache_len=256)
    with compressing(llava, method(stage)):
        dynamic, fed, _, _ = take_turns(llava, turns)
        logits, fed_static, _, _ = take_turns(llava, turns, static)
    assert worst(logits, dynamic) < TOLERANCE
    assert all(
        torch.equal(a, b) for x, y in zip(fed, fed_static, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_rows_of_a_second_turn_move_and_crop(llava, stage):
    """Reordering, selecting and cropping behind the second image, as behind the first."""
    turns = made("ragged batch")
    with compressing(llava, method(stage)):
        logits, fed, _, cache = take_turns(llava, turns)
        _, mask, _ = joined(turns, fed)
        position = mask.sum(1, keepdim=True)

        def step(cache, rows, tokens):
            grown = torch.cat([mask, mask.new_ones(2, 1)], 1)[rows]
            tokens = torch.tensor(tokens)
            return llava(
                input_ids=tokens,
                attention_mask=grown,
                position_ids=position[rows],
                past_key_values=copy.deepcopy(cache),
            ).logits

        expected = step(cache, [0, 1], [[5], [9]])
        swapped, selected = copy.deepcopy(cache), copy.deepcopy(cache)
        swapped.reorder_cache(torch.tensor([1, 0]))
        torch.testing.assert_close(step(swapped, [1, 0], [[9], [5]]), expected[[1, 0]], atol=1e-5, rtol=0)
        selected.batch_select_indices(torch.tensor([1]))
        torch.testing.assert_close(step(selected, [1], [[9]]), expected[[1]], atol=1e-5, rtol=0)
        cache.crop(-STEPS)
        ids = torch.cat(fed[-1], 1)
        again = llava(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position - STEPS + torch.arange(STEPS),
            past_key_values=cache,
        ).logits
        torch.testing.assert_close(again[:, -1], logits[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("implementation", [None, "static"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["one", "text first"])
def test_generate_takes_a_second_image(llava, rows, stage, implementation):
    """``generate`` on the whole conversation and the filled cache equals reading the turns by hand."""
    turns = made(rows)
    options = {"max_new_tokens": STEPS + 1, "do_sample": False, "return_dict_in_generate": True}
    options["suppress_tokens"] = [IMAGE_TOKEN]
    if implementation:
        length = StaticCache(config=llava.config.get_text_config(), max_cache_len=256)
        options |= {"past_key_values": length, "disable_compile": True}
    with compressing(llava, method(stage)) as session:
        logits, fed, images, _ = take_turns(llava, turns)
        first = llava.generate(**turns[0], **options)
        assert torch.equal(first.sequences[:, -STEPS - 1 : -1], torch.cat(fed[0], 1))
        ids = torch.cat([first.sequences[:, :-1], turns[1]["input_ids"]], 1)
        options["past_key_values"] = first.past_key_values
        second = llava.generate(input_ids=ids, pixel_values=turns[1]["pixel_values"], **options)
        assert [image.image for image in session.images] == [0]
        assert torch.equal(session.images[0].indices, images[-1].indices)
    steps = [greedy(logits[-1])]
    assert torch.equal(second.sequences[:, ids.shape[1] :], torch.cat([*fed[1], *steps], 1))
