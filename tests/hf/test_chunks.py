"""Chunked prefill: the same as in one piece, in pieces."""

from __future__ import annotations

import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import compressing
from apet.hf.hooks.chunks import chunks
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.tiny import ENCODES_FIRST, IMAGE_TOKEN, prompts

NEW = 4
OPTIONS = {
    "max_new_tokens": NEW,
    "do_sample": False,
    "suppress_tokens": [IMAGE_TOKEN],
    "output_logits": True,
    "return_dict_in_generate": True,
}
encodes_first = pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers cannot, see below")


def test_chunks_end_between_units():
    assert chunks(10, 4, []) == [(0, 4), (4, 8), (8, 10)]
    assert chunks(10, 4, [(3, 5), (5, 9)]) == [(0, 5), (5, 9), (9, 10)]
    assert chunks(10, 4, [(1, 5), (4, 7), (7, 10)]) == [(0, 7), (7, 10)]
    assert chunks(10, 40, [(1, 5)]) == [(0, 10)]


@encodes_first
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("rows", "size"), [("one", 3), ("ragged", 20), ("touching", 30), ("text row", 7)])
def test_chunks_equal_one_piece(llava, rows, size, stage):
    inputs = prompts(PROMPTS[rows])
    lengths = []
    with compressing(llava, method(stage)) as session:
        whole = llava.generate(**inputs, **OPTIONS)
        images, totals = session.images, session.totals
        hook = llava.model.language_model.layers[0].register_forward_pre_hook(
            lambda _, args: lengths.append(args[0].shape[1])
        )
        pieces = llava.generate(**inputs, **OPTIONS, prefill_chunk_size=size)
        hook.remove()
        again, more = session.images, session.totals
    assert torch.equal(pieces.sequences, whole.sequences)
    torch.testing.assert_close(torch.stack(pieces.logits), torch.stack(whole.logits), atol=1e-4, rtol=0)
    assert len(lengths) > NEW, "the prompt was read in several pieces"
    assert [(image.row, image.image) for image in again] == [(image.row, image.image) for image in images]
    assert all(torch.equal(a.indices, b.indices) for a, b in zip(again, images, strict=True))
    assert (more.prefills, more.images, more.tokens) == (2, 2 * totals.images, 2 * totals.tokens)


@encodes_first
@pytest.mark.parametrize("rows", ["equal", "ragged"])
@pytest.mark.parametrize(
    "options", [{"num_beams": 2}, {"cache_implementation": "static", "disable_compile": True}]
)
def test_chunks_with_beams_and_static_caches(llava, rows, options):
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method("both", positions="contiguous")) as session:
        whole = llava.generate(**inputs, **OPTIONS, **options)
        pieces = llava.generate(**inputs, **OPTIONS, **options, prefill_chunk_size=20)
        assert [image.row for image in session.images] == ([0, 1] if rows == "equal" else [0, 0, 1])
    assert torch.equal(pieces.sequences, whole.sequences)


@encodes_first
def test_a_second_turn_in_chunks(llava):
    inputs, more = prompts(PROMPTS["one"]), prompts([[4, "i", 7]], seed=2)
    outputs = []
    with compressing(llava, method("both")):
        for size in (None, 6):
            first = llava.generate(**inputs, **OPTIONS)
            ids = torch.cat([first.sequences[:, :-1], more["input_ids"]], 1)
            outputs.append(
                llava.generate(
                    input_ids=ids,
                    pixel_values=more["pixel_values"],
                    past_key_values=first.past_key_values,
                    prefill_chunk_size=size,
                    **OPTIONS,
                )
            )
    assert torch.equal(outputs[0].sequences, outputs[1].sequences)
    torch.testing.assert_close(*(torch.stack(out.logits) for out in outputs), atol=1e-4, rtol=0)


def encoder_calls(model):
    calls = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    return calls, hook


@pytest.mark.skipif(ENCODES_FIRST, reason="works here, see above")
def test_chunks_are_refused_where_images_are_encoded_in_the_forward_pass(llava):
    calls, hook = encoder_calls(llava)
    with compressing(llava, method("both")), pytest.raises(ApETError, match="prefill_chunk_size=16"):
        llava.generate(**prompts(PROMPTS["one"]), prefill_chunk_size=16, max_new_tokens=2)
    hook.remove()
    assert calls == []


@encodes_first
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefill_chunk_size": 8, "inputs_embeds": True}, "inputs_embeds"),
        ({"cache_implementation": "paged"}, "continuous batching"),
    ],
)
def test_what_is_refused_before_anything_is_encoded(llava, options, message):
    inputs = prompts(PROMPTS["one"])
    if "inputs_embeds" in options:
        options = {**options, "inputs_embeds": llava.get_input_embeddings()(inputs["input_ids"])}
    calls, hook = encoder_calls(llava)
    with compressing(llava, method("both")), pytest.raises(ApETError, match=message):
        llava.generate(**inputs, **options, max_new_tokens=2)
    hook.remove()
    assert calls == []


def test_text_alone_is_left_to_transformers(llava):
    text = prompts([[20]])
    expected = llava.generate(**text, max_new_tokens=3, do_sample=False)
    with compressing(llava, method("both")):
        chunked = llava.generate(**text, prefill_chunk_size=8, max_new_tokens=3, do_sample=False)
    assert torch.equal(chunked, expected)
