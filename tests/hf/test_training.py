"""Labels, gradients and half precision."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_layers import GradientCheckpointingLayer

from apet.core.errors import ApETError
from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.oracle import dropped
from tests.hf.tiny import BOS_TOKEN, IMAGE_TOKEN, PAD_TOKEN, VOCABULARY, prompts, tiny_llava

HOOKS_INSIDE = "__call__" in vars(GradientCheckpointingLayer)


def labelled(rows):
    inputs = prompts(PROMPTS[rows])
    labels = inputs["input_ids"].clone()
    labels[(labels <= BOS_TOKEN) | (labels == IMAGE_TOKEN) | (inputs["attention_mask"] == 0)] = -100
    return inputs, labels


@pytest.mark.parametrize("stage", STAGES)
def test_loss_equals_that_of_the_short_sequence(llava, stage):
    inputs, labels = labelled("ragged")
    with compressing(llava, method(stage)) as session:
        out = llava(**inputs, labels=labels)
        images = session.images
    first, second = dropped(llava.config, inputs["input_ids"], images)
    total, count = 0.0, 0
    for row in range(2):
        stays = inputs["attention_mask"][row].bool() & ~first[row] & ~second[row]
        logits, targets = out.logits[row, stays], labels[row, stays]
        total += cross_entropy(logits[:-1], targets[1:], ignore_index=-100, reduction="sum").item()
        count += int((targets[1:] != -100).sum())
    assert torch.isfinite(out.loss)
    assert out.loss.item() == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("positions", ["own", "contiguous"])
def test_loss_equals_that_of_a_short_run_by_hand(llava, positions):
    """The plain text model on the kept embeddings alone, row by row, with the labels of kept tokens."""
    inputs, labels = labelled("ragged")
    ids = inputs["input_ids"]
    own = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    chosen = method("stage 1", positions=positions)
    with compressing(llava, chosen) as session:
        loss = llava(**inputs, position_ids=own, labels=labels).loss
        first, _ = dropped(llava.config, ids, session.images)
    merged = torch.cat([image.stage1.tokens for image in session.images])
    embeds = llava.get_input_embeddings()(ids)
    embeds[(ids == IMAGE_TOKEN) & ~first] = llava.model.multi_modal_projector(merged)
    total, count = 0.0, 0
    for row in range(2):
        stays = inputs["attention_mask"][row].bool() & ~first[row]
        places = own[row, stays] if positions == "own" else torch.arange(int(stays.sum()))
        hidden = llava.model.language_model(
            inputs_embeds=embeds[row, stays][None], position_ids=places[None], attention_mask=None
        ).last_hidden_state
        targets = labels[row, stays][1:]
        logits = llava.lm_head(hidden)[0, :-1]
        total += cross_entropy(logits, targets, ignore_index=-100, reduction="sum").item()
        count += int((targets != -100).sum())
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
@pytest.mark.parametrize("stage", STAGES)
def test_gradients_reach_every_part(stage, at):
    model = tiny_llava().train()
    inputs, labels = labelled("ragged")
    with torch.enable_grad(), compressing(model, method(stage, at=at)):
        model(**inputs, labels=labels, use_cache=False).loss.backward()
    for part in ("multi_modal_projector.linear_1", "language_model.layers.3.mlp.up_proj"):
        gradient = model.model.get_submodule(part).weight.grad
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0
    tower = [
        parameter.grad for parameter in model.model.vision_tower.parameters() if parameter.grad is not None
    ]
    assert any(gradient.abs().sum() > 0 for gradient in tower)


@pytest.mark.skipif(HOOKS_INSIDE, reason="refused there, see below")
def test_gradient_checkpointing_gives_the_same_gradients():
    inputs, labels = labelled("ragged")
    gradients = []
    for checkpointing in (False, True):
        model = tiny_llava().train()
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        with torch.enable_grad(), compressing(model, method("both")):
            model(**inputs, labels=labels, use_cache=False).loss.backward()
        gradients.append(model.model.language_model.layers[3].self_attn.v_proj.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.skipif(not HOOKS_INSIDE, reason="works here, see above")
def test_gradient_checkpointing_is_refused_where_hooks_run_twice():
    model = tiny_llava().train()
    model.gradient_checkpointing_enable()
    inputs, labels = labelled("ragged")
    with compressing(model, method("both")), pytest.raises(ApETError, match="gradient checkpointing"):
        model(**inputs, labels=labels, use_cache=False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = tiny_llava().to(dtype)
    inputs = prompts(PROMPTS["ragged"])
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    with compressing(model, method("both")) as session:
        out = model.generate(
            **inputs, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        assert all(logits.isfinite().all() for logits in out.logits)
        assert {image.stage2.errors.dtype for image in session.images} == {torch.float32}
        assert {image.tokens_stage2 for image in session.images} == {5}
    assert out.logits[0].shape == (2, VOCABULARY)
    assert model.generation_config.pad_token_id == PAD_TOKEN
