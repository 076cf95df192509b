"""``model.generate(**inputs)`` as ever, under compression."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import DynamicCache

from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.tiny import ENCODES_FIRST, IMAGE_TOKEN, prompts, single

NEW = 8
GREEDY = {"max_new_tokens": NEW, "do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}


ragged = pytest.param(
    "ragged",
    marks=pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers mixes up the images of copies"),
)
encodes_first = pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers takes no encoded features")


def new_tokens(inputs, output):
    return output[:, inputs["input_ids"].shape[1] :]


def each_alone(model, inputs, **options):
    rows = [single(inputs, row) for row in range(len(inputs["input_ids"]))]
    return torch.cat([new_tokens(row, model.generate(**row, **options)) for row in rows])


@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["equal", "ragged", "text row", "level", "flush"])
def test_a_batch_equals_its_rows_alone(llava, rows, stage, positions):
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method(stage, positions=positions)):
        batch = llava.generate(**inputs, **GREEDY)
        assert torch.equal(new_tokens(inputs, batch), each_alone(llava, inputs, **GREEDY))
    plain = llava.generate(**inputs, **GREEDY)
    assert not torch.equal(batch, plain), "compression changed nothing, so this test shows nothing"


@pytest.mark.parametrize("stage", STAGES)
def test_logits_of_a_batch_equal_those_of_its_rows(llava, stage):
    inputs = prompts(PROMPTS["ragged"])
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    with compressing(llava, method(stage)):
        batch = torch.stack(llava.generate(**inputs, **options).logits)
        for row in range(2):
            alone = torch.stack(llava.generate(**single(inputs, row), **options).logits)
            torch.testing.assert_close(batch[:, row], alone[:, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["equal", "text row", ragged])
def test_beams(llava, rows, stage):
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method(stage)) as session:
        batch = llava.generate(**inputs, num_beams=3, **GREEDY)
        assert session.totals.images == len(inputs["pixel_values"]), "beams must not multiply the images"
        assert torch.equal(new_tokens(inputs, batch), each_alone(llava, inputs, num_beams=3, **GREEDY))


@pytest.mark.parametrize("rows", ["equal", ragged])
def test_returned_sequences_are_copies_of_a_row(llava, rows):
    """With top-1 sampling every returned sequence is the greedy one."""
    inputs = prompts(PROMPTS[rows])
    options = {"max_new_tokens": NEW, "suppress_tokens": [IMAGE_TOKEN]}
    with compressing(llava, method("both")) as session:
        greedy = llava.generate(**inputs, do_sample=False, **options)
        sampled = llava.generate(**inputs, do_sample=True, top_k=1, num_return_sequences=3, **options)
        assert torch.equal(sampled, greedy.repeat_interleave(3, 0))
        assert [image.row for image in session.images] == ([0, 1] if rows == "equal" else [0, 0, 1])


def test_sampling_follows_the_seed(llava):
    inputs = prompts(PROMPTS["ragged"])

    def sample(seed):
        torch.manual_seed(seed)
        return llava.generate(**inputs, max_new_tokens=NEW, do_sample=True, num_return_sequences=2)

    with compressing(llava, method("both")):
        assert torch.equal(sample(0), sample(0))
        assert not torch.equal(sample(0), sample(1))


@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["one", "equal", "ragged", "text row", "level", "flush"])
def test_static_equals_dynamic(llava, rows, stage, positions):
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method(stage, positions=positions)):
        options = {**GREEDY, "return_dict_in_generate": True}
        dynamic = llava.generate(**inputs, **options)
        static = llava.generate(**inputs, cache_implementation="static", disable_compile=True, **options)
    assert torch.equal(static.sequences, dynamic.sequences)
    for layer in range(4):
        held = [int(out.past_key_values.layers[layer].get_seq_length()) for out in (static, dynamic)]
        assert held[0] == held[1], "the same columns, without padding"


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_cache(llava, stage):
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method(stage)):
        cached = llava.generate(**inputs, **GREEDY)
        recomputed = llava.generate(**inputs, use_cache=False, **GREEDY)
    assert torch.equal(cached, recomputed)


@pytest.mark.parametrize("stage", STAGES)
def test_prompt_lookup(llava, stage):
    inputs = prompts(PROMPTS["one"])
    inputs["input_ids"][0, -4:] = inputs["input_ids"][0, -4]  # something to look up
    with compressing(llava, method(stage)):
        greedy = llava.generate(**inputs, **GREEDY)
        looked_up = llava.generate(**inputs, prompt_lookup_num_tokens=3, **GREEDY)
    assert torch.equal(greedy, looked_up)


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
def test_keeping_everything_is_the_plain_model(llava, at):
    inputs = prompts(PROMPTS["ragged"])
    plain = llava(**inputs).logits
    for keep_all in (36, 1.0):
        chosen = type(method("stage 1"))(keep=keep_all, at=at)
        with compressing(llava, chosen) as session:
            assert torch.equal(llava(**inputs).logits, plain)
            assert all(image.stage1 is None and image.tokens_stage2 == 36 for image in session.images)


def test_a_batch_without_images_is_the_plain_model(llava):
    inputs = prompts([[5], [9]])
    plain = llava.generate(**inputs, **GREEDY)
    with compressing(llava, method("both")) as session:
        assert torch.equal(llava.generate(**inputs, **GREEDY), plain)
        assert session.images == ()
        out = llava(**inputs)
        assert type(out.past_key_values) is DynamicCache


@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("rows", ["one", "ragged"])
@pytest.mark.parametrize("stage", STAGES)
def test_second_turn(llava, stage, rows, positions):
    """A text turn on the cache equals feeding its tokens one by one."""
    inputs = prompts(PROMPTS[rows])
    count = len(inputs["input_ids"])
    more = torch.tensor([[7, 9, 11]]).repeat(count, 1)
    with compressing(llava, method(stage, positions=positions)):
        first = llava.generate(**inputs, return_dict_in_generate=True, **GREEDY)
        full = torch.cat([first.sequences, more], 1)
        extra = full.shape[1] - inputs["input_ids"].shape[1]
        mask = torch.cat([inputs["attention_mask"], torch.ones(count, extra, dtype=torch.long)], 1)
        cache, copied = first.past_key_values, copy.deepcopy(first.past_key_values)
        second = llava.generate(input_ids=full, attention_mask=mask, past_key_values=cache, **GREEDY)

        own = (mask.cumsum(1) - 1).clamp(min=0)
        for column in range(copied.get_seq_length(), full.shape[1]):
            step = llava(
                input_ids=full[:, column : column + 1],
                attention_mask=mask[:, : column + 1],
                position_ids=own[:, column : column + 1],
                past_key_values=copied,
            )
        expected = []
        position = own[:, -1:]
        for _ in range(NEW):
            logits = step.logits[:, -1].clone()
            logits[:, IMAGE_TOKEN] = -torch.inf
            expected.append(logits.argmax(-1, keepdim=True))
            mask, position = torch.cat([mask, mask.new_ones(count, 1)], 1), position + 1
            step = llava(
                input_ids=expected[-1], attention_mask=mask, position_ids=position, past_key_values=copied
            )
    assert torch.equal(second[:, full.shape[1] :], torch.cat(expected, 1))


def test_a_filled_users_cache(llava):
    """A cache that the caller passed in is filled in place."""
    inputs = prompts(PROMPTS["one"])
    cache = DynamicCache(config=llava.config.get_text_config())
    with compressing(llava, method("both")):
        plain = llava.generate(**inputs, **GREEDY)
        out = llava.generate(**inputs, past_key_values=cache, return_dict_in_generate=True, **GREEDY)
    assert out.past_key_values is cache
    assert torch.equal(out.sequences, plain)
    assert isinstance(cache, DynamicCache)
    assert cache.get_seq_length() == plain.shape[1] - 1


def test_embeddings_in_place_of_ids(llava):
    inputs = prompts(PROMPTS["ragged"])
    embeds = llava.get_input_embeddings()(inputs["input_ids"])
    with compressing(llava, method("both")):
        expected = llava(**inputs).logits
        inputs.pop("input_ids")
        torch.testing.assert_close(llava(**inputs, inputs_embeds=embeds).logits, expected)


@encodes_first
def test_features_encoded_beforehand(llava):
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method("both")):
        expected = llava(**inputs).logits
        features = llava.get_image_features(inputs.pop("pixel_values"), return_dict=True)
        given = llava(**inputs, mm_encoder_outputs={"image": features}).logits
    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_4d_masks(llava, stage, additive):
    """A caller's own 4D mask in prefill gives what the 2D mask gives, also for the decoding after it."""
    inputs = prompts(PROMPTS["ragged"])
    mask = inputs["attention_mask"]
    own = (mask.cumsum(1) - 1).clamp(min=0)
    length = mask.shape[1]
    full = torch.ones(length, length).tril().bool()[None, None] & mask.bool()[:, None, None, :]
    full = full | torch.eye(length, dtype=torch.bool)
    if additive:
        full = torch.zeros(full.shape).masked_fill(~full, torch.finfo(torch.float32).min)
    grown = torch.cat([mask, mask.new_ones(2, 1)], 1)
    results = []
    with compressing(llava, method(stage)):
        for given in (mask, full):
            out = llava(**{**inputs, "attention_mask": given}, position_ids=own)
            step = llava(
                input_ids=torch.tensor([[5], [9]]),
                attention_mask=grown,
                position_ids=own[:, -1:] + 1,
                past_key_values=out.past_key_values,
            )
            results.append((out.logits[mask.bool()], step.logits))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
