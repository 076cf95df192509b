"""What the parts of the model really see: projector rows, cache columns, hidden states."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from apet.hf import compressing
from tests.hf.cases import PROMPTS, method
from tests.hf.tiny import ENCODES_FIRST, IMAGE_TOKEN, TOKENS, prompts


class Shapes:
    """Records the input shape of a module."""

    def __init__(self, module):
        self.seen = []
        self.module = module

    def __enter__(self):
        # Appended after the package's hooks, so it sees what the module sees.
        self.hook = self.module.register_forward_hook(
            lambda _, args, out: self.seen.append(tuple(args[0].shape))
        )
        return self

    def __exit__(self, *_):
        self.hook.remove()


@pytest.mark.parametrize(("at", "rows"), [("projector_input", 12), ("projector_output", TOKENS)])
def test_the_projector_sees_the_kept_tokens(llava, at, rows):
    inputs = prompts(PROMPTS["ragged"])
    with (
        compressing(llava, method("stage 1", at=at)),
        Shapes(llava.model.multi_modal_projector.linear_1) as shapes,
    ):
        llava.generate(**inputs, max_new_tokens=3, num_beams=2, do_sample=False)
    assert shapes.seen == [(3 if ENCODES_FIRST else 6, rows, 32)]


@pytest.mark.parametrize(
    ("stage", "first", "second"),
    [("stage 1", 12, 12), ("stage 2", TOKENS, 6), ("both", 12, 5), ("both, late", 18, 9)],
)
def test_each_layer_caches_its_own_length(llava, stage, first, second):
    inputs = prompts(PROMPTS["equal"])
    text = inputs["input_ids"].shape[1] - TOKENS
    chosen = method(stage)
    layer = chosen.stage2.layer if chosen.stage2 else 4
    with compressing(llava, chosen):
        cache = llava(**inputs).past_key_values
        lengths = [held.keys.shape[2] for held in cache.layers]
        assert lengths == [text + first] * layer + [text + second] * (4 - layer)
        assert cache.get_seq_length() == inputs["input_ids"].shape[1]


def test_logits_keep_the_prompts_length(llava):
    inputs = prompts(PROMPTS["one"])
    with compressing(llava, method("both")) as session:
        out = llava(**inputs)
        (image,) = session.images
    ids = inputs["input_ids"][0]
    assert out.logits.shape[1] == len(ids)
    columns = (ids == IMAGE_TOKEN).nonzero()[:, 0]
    kept = set(columns[image.indices].tolist())
    for column in columns.tolist():
        if column not in kept:
            assert torch.equal(out.logits[0, column], out.logits[0, column - 1])


def test_hidden_states_and_attentions_have_the_lengths_of_the_layers(models):
    inputs = prompts(PROMPTS["ragged"])
    with compressing(models["eager"], method("both")):
        out = models["eager"](**inputs, output_hidden_states=True, output_attentions=True)
        lengths = [held.keys.shape[2] for held in out.past_key_values.layers]
        assert [attention.shape[-1] for attention in out.attentions] == lengths
        assert [state.shape[1] for state in out.hidden_states] == [lengths[0], *lengths]
        generated = models["eager"].generate(
            **inputs,
            max_new_tokens=3,
            output_hidden_states=True,
            output_attentions=True,
            return_dict_in_generate=True,
        )
    widths = [[attention.shape[-1] for attention in step] for step in generated.attentions]
    assert widths == [[length + step for length in lengths] for step in range(3)]


def test_merging_and_scoring_follow_the_side_of_the_projector(llava):
    """Before the projector its input is merged, behind it its output."""
    inputs = prompts(PROMPTS["one"])
    results = {}
    features = llava.model.get_image_features(inputs["pixel_values"], return_dict=True)
    tokens = {"projector_output": features.pooler_output[0][None]}
    with Shapes(llava.model.multi_modal_projector) as shapes:
        hook = llava.model.multi_modal_projector.register_forward_pre_hook(
            lambda _, args: tokens.update(projector_input=args[0])
        )
        llava.model.get_image_features(inputs["pixel_values"], return_dict=True)
        hook.remove()
    assert shapes.seen == [(1, TOKENS, 32)]
    for at in ("projector_input", "projector_output"):
        chosen = method("stage 1", at=at)
        with compressing(llava, chosen) as session:
            out = llava.model.get_image_features(inputs["pixel_values"], return_dict=True)
            llava(**inputs)
            results[at] = session.images[0].stage1
        selection = chosen.select(tokens[at], 12)
        assert torch.equal(results[at].indices, selection.indices[0])
        assert torch.equal(results[at].basis, selection.basis[0])
        merged = selection.apply(tokens[at], merge=True)
        torch.testing.assert_close(results[at].tokens, merged[0], atol=1e-5, rtol=1e-5)
        assert torch.equal(out.pooler_output[0], features.pooler_output[0])


@pytest.mark.parametrize("stage", ["stage 1", "both"])
def test_merging_changes_the_logits(llava, stage):
    inputs = prompts(PROMPTS["one"])
    logits = []
    for merge in (True, False):
        with compressing(llava, dataclasses.replace(method(stage), merge=merge)):
            logits.append(llava(**inputs).logits[:, -1])
    assert (logits[0] - logits[1]).abs().max() > 0.01
