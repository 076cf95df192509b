"""Methods that read attention weights, against eager attention read by hand and the masked run."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.hf.results import schedule_of
from apet.methods import FastV, PyramidDrop, VisionZip
from tests.hf.cases import PROMPTS
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.families.recipe import single as one_of
from tests.hf.oracle import dropped, masked
from tests.hf.test_oracle import TOLERANCE, kept_positions, run_compressed
from tests.hf.test_undo import snapshot
from tests.hf.tiny import IMAGE_TOKEN, TOKENS, prompts, single, tiny_llava

OPTIONS = {"max_new_tokens": 5, "do_sample": False}


@pytest.fixture
def eager(models):
    return models["eager"]


def received_from_last(model, inputs, layer):
    """The last token's attention to every image token of every row, in the plain model."""
    weights = model(**inputs, output_attentions=True).attentions[layer].mean(1)
    found = []
    for row, ids in enumerate(inputs["input_ids"]):
        last = int(inputs["attention_mask"][row].nonzero()[-1])
        found += [part for part in weights[row, last, ids == IMAGE_TOKEN].split(TOKENS) if len(part)]
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("rows", ["one", "ragged", "text row"])
def test_fastv_keeps_what_the_last_token_attends_to(eager, rows, layer, side):
    inputs = prompts(PROMPTS[rows], side=side)
    expected = received_from_last(eager, inputs, layer - 1)
    with compressing(eager, FastV(7, layer=layer)) as session:
        eager(**inputs)
    assert len(session.images) == len(expected)
    for image, received in zip(session.images, expected, strict=True):
        assert (image.tokens_stage1, image.tokens_stage2) == (TOKENS, 7)
        torch.testing.assert_close(image.errors, received, rtol=1e-4, atol=1e-6)
        assert image.indices.tolist() == received.topk(7).indices.sort().values.tolist()


@pytest.mark.parametrize("rows", PROMPTS)
def test_fastv_matches_the_masked_run(eager, rows):
    inputs, method = prompts(PROMPTS[rows]), FastV(5, layer=2)
    compressed, logits, fed, images = run_compressed(eager, inputs, method)
    first, second = dropped(eager.config, inputs["input_ids"], images)
    assert not first.any()
    assert second.any()
    real = inputs["attention_mask"].bool()
    positions = kept_positions(real, first, "own")
    with masked(eager.model.language_model, real, first, second, 2):
        prefill = eager(**inputs, position_ids=positions)
        expected, position = [prefill.logits[:, -1]], positions[:, -1:]
        for token in fed:
            position = position + 1
            step = eager(input_ids=token, position_ids=position, past_key_values=prefill.past_key_values)
            expected.append(step.logits[:, -1])
    stays = real & ~second
    assert (compressed.logits - prefill.logits)[stays].abs().max() < TOLERANCE
    for a, b in zip(logits, expected, strict=True):
        assert (a - b).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_next", "gemma3", "internvl"])
def test_fastv_in_other_families(name):
    recipe = RECIPES[name]
    model = recipe.build("eager")
    rows = recipe.prompts["image"]
    with compressing(model, FastV(2, layer=2)) as session:
        together = model.generate(**batch(recipe, rows), **OPTIONS)
        assert all(image.tokens_stage2 == 2 < image.tokens for image in session.images)
        for number in range(len(rows)):
            alone = model.generate(**one_of(recipe, rows, number), **OPTIONS)
            assert torch.equal(alone[0, -5:], together[number, -5:])


def test_the_question_changes_what_fastv_keeps(eager):
    inputs = prompts(PROMPTS["one"])
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][:, -3:] = 7
    kept = []
    with compressing(eager, FastV(7)) as session:
        for one in (inputs, other):
            eager(**one)
            kept.append(session.images[0].indices)
    assert not torch.equal(*kept)


@contextmanager
def hidden_behind(model, hide, last=None):
    """Run the plain model with columns hidden from layers on: ``hide[layer]`` is ``(B, L)`` bool.

    ``last`` gets the attention of every row's last token in each layer, averaged over the heads.
    """
    hooks = []

    def before(number):
        def hook(module, args, kwargs):
            mask = kwargs["attention_mask"].clone()
            for layer, gone in hide.items():
                if number >= layer:
                    gone = torch.nn.functional.pad(gone, (0, mask.shape[-1] - gone.shape[1]))  # noqa: PLW2901
                    mask = mask.masked_fill(gone[:, None, None], torch.finfo(mask.dtype).min)
            return args, {**kwargs, "attention_mask": mask}

        return hook

    for number, layer in enumerate(model.model.language_model.layers):
        hooks.append(layer.register_forward_pre_hook(before(number), with_kwargs=True))
        if last is not None:
            hooks.append(
                layer.self_attn.register_forward_hook(
                    lambda _, __, out: last.append(out[1][:, :, -1].mean(1))
                )
            )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("layers", [(1, 2, 3), (1, 3), (2,)])
@pytest.mark.parametrize("rows", ["one", "ragged", "text row"])
def test_pyramiddrop_ranks_and_drops_at_every_depth(eager, rows, layers):
    inputs, method = prompts(PROMPTS[rows]), PyramidDrop(5, layers=layers)
    visual = inputs["input_ids"] == IMAGE_TOKEN
    hide = {}
    for layer in layers:
        last = []
        with hidden_behind(eager, hide, last):
            eager(**inputs)
        gone = torch.zeros_like(visual)
        kept = method.behind(next(stage for stage in method.later if stage.layer == layer), TOKENS)
        for row, columns in enumerate(visual):
            for image in columns.nonzero()[:, 0].split(TOKENS) if columns.any() else ():
                before = hide[max(hide)][row] if hide else torch.zeros_like(columns)
                left = [c for c in image.tolist() if not before[c]]
                ranked = sorted(left, key=lambda c: -float(last[layer - 1][row, c]))
                gone[row, image] = True
                gone[row, ranked[:kept]] = False
        hide[layer] = gone
    compressed, logits, fed, images = run_compressed(eager, inputs, method)
    final = hide[layers[-1]]
    seen = [0] * len(visual)
    for image in images:
        columns = visual[image.row].nonzero()[:, 0][seen[image.row] : seen[image.row] + TOKENS]
        seen[image.row] += TOKENS
        stages = (*image.stage2.earlier, image.stage2)
        assert len(stages) == len(layers)
        for stage, gone in zip(stages, hide.values(), strict=True):
            assert stage.indices.tolist() == (~gone[image.row, columns]).nonzero()[:, 0].tolist()
        assert image.errors.shape == (TOKENS,)
        assert image.selection.assignment[image.indices].tolist() == list(range(5))
    positions = kept_positions(inputs["attention_mask"].bool(), torch.zeros_like(visual), "own")
    with hidden_behind(eager, hide):
        prefill = eager(**inputs, position_ids=positions)
        expected, position, mask = [prefill.logits[:, -1]], positions[:, -1:], inputs["attention_mask"]
        for token in fed:
            position, mask = position + 1, torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            step = eager(
                input_ids=token,
                position_ids=position,
                attention_mask=mask,
                past_key_values=prefill.past_key_values,
            )
            expected.append(step.logits[:, -1])
    stays = inputs["attention_mask"].bool() & ~final
    assert (compressed.logits - prefill.logits)[stays].abs().max() < TOLERANCE
    for a, b in zip(logits, expected, strict=True):
        assert (a - b).abs().max() < TOLERANCE


@pytest.mark.parametrize("rows", ["ragged", "level", "flush"])
def test_pyramiddrop_in_generate(eager, rows):
    inputs = prompts(PROMPTS[rows])
    with compressing(eager, PyramidDrop(5, layers=(1, 2, 3))):
        together = eager.generate(**inputs, **OPTIONS)
        static = eager.generate(**inputs, **OPTIONS, cache_implementation="static", disable_compile=True)
        beams = eager.generate(**inputs, **OPTIONS, num_beams=2)
        for row in range(len(together)):
            alone = single(inputs, row)
            assert torch.equal(eager.generate(**alone, **OPTIONS)[0, -5:], together[row, -5:])
            assert torch.equal(eager.generate(**alone, **OPTIONS, num_beams=2)[0, -5:], beams[row, -5:])
    assert torch.equal(static, together)


def test_the_cache_shrinks_with_every_stage(eager):
    inputs = prompts(PROMPTS["one"])
    text = inputs["input_ids"].shape[1] - TOKENS
    with compressing(eager, PyramidDrop(4, layers=(1, 2, 3))):
        cache = eager(**inputs).past_key_values
    lengths = [layer.keys.shape[-2] for layer in cache.layers]
    assert lengths == [text + kept for kept in (36, 17, 8, 4)]


def restated(model, pixels, cls):
    """What the encoder's last layer attends to, and its keys averaged over heads."""
    tower, noted = model.model.vision_tower, []
    layer = tower.encoder.layers[-1].self_attn
    hook = layer.register_forward_pre_hook(
        lambda _, args, kwargs: noted.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    weights = tower(pixels, output_attentions=True).attentions[-1].mean(1)
    hook.remove()
    keys = layer.k_proj(noted[0]).view(len(pixels), -1, 2, 16).mean(2)
    return (weights[:, 0, 1:], keys[:, 1:]) if cls else (weights.mean(1), keys)


@pytest.mark.parametrize("at", ["projector_input", "projector_output"])
@pytest.mark.parametrize("rows", ["one", "ragged"])
def test_visionzip_reads_the_layer_of_the_features(eager, rows, at):
    inputs = prompts(PROMPTS[rows])
    received, keys = restated(eager, inputs["pixel_values"], cls=True)
    with compressing(eager, VisionZip(12, at=at)) as session:
        out = eager(**inputs)
        for image, score, key in zip(session.images, received, keys, strict=True):
            torch.testing.assert_close(image.errors, score, rtol=1e-4, atol=1e-6)
            ranked = score.argsort(descending=True).tolist()
            dominant, rest = ranked[:10], sorted(ranked[10:])
            targets = [rest[0], rest[len(rest) // 2]]
            assert image.indices.tolist() == sorted(dominant + targets)
            unit = torch.nn.functional.normalize(key, dim=-1)
            slots = [image.indices.tolist().index(target) for target in targets]
            for token in rest:
                best = int((unit[token] @ unit[targets].T).argmax())
                goes = best if token not in targets else targets.index(token)
                assert image.selection.assignment[token] == slots[goes]
        for row in range(len(inputs["input_ids"])):
            alone = eager(**single(inputs, row)).logits[0, -1]
            assert (alone - out.logits[row, -1]).abs().max() < TOLERANCE


def test_visionzip_where_there_is_no_cls(eager):
    """With the strategy "full" the model takes every token of the encoder for a visual one."""
    config = eager.model.config
    inputs = prompts(PROMPTS["one"])
    pad = torch.full((1, 1), IMAGE_TOKEN)
    inputs["input_ids"] = torch.cat([inputs["input_ids"][:, :1], pad, inputs["input_ids"][:, 1:]], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    config.vision_feature_select_strategy = "full"
    try:
        received, _ = restated(eager, inputs["pixel_values"], cls=False)
        with compressing(eager, VisionZip(12)) as session:
            eager(**inputs)
        torch.testing.assert_close(session.images[0].errors, received[0], rtol=1e-4, atol=1e-6)
    finally:
        config.vision_feature_select_strategy = "default"


@pytest.mark.parametrize("method", [FastV(7), VisionZip(7), PyramidDrop(7, layers=(1, 3))])
def test_other_attention_is_refused(llava, method):
    before = snapshot(llava)
    with pytest.raises(ApETError, match=r"needs attention weights, on \w+ attention 'sdpa'.*'eager'"):
        apply(llava, method)
    assert snapshot(llava) == before


@pytest.mark.parametrize("method", [FastV(7), PyramidDrop(7, layers=(1, 3))])
def test_a_prefill_in_chunks_is_refused(eager, method):
    name = type(method).__name__
    with (
        compressing(eager, method),
        pytest.raises(ApETError, match=f"prefill_chunk_size=16 under {name}"),
    ):
        eager.generate(**prompts(PROMPTS["one"]), prefill_chunk_size=16, **OPTIONS)


def test_layers_that_are_not_there(eager):
    with pytest.raises(ApETError, match="layer 4 of a model with 4 decoder layers"):
        apply(eager, FastV(7, layer=4))


@pytest.mark.parametrize("name", ["llava_next", "qwen2_5_vl", "gemma3"])
def test_families_whose_encoder_is_not_known(name):
    model = RECIPES[name].build("eager")
    with pytest.raises(ApETError, match=r"apply: got VisionZip for .*expected LLaVA-1\.5"):
        apply(model, VisionZip(2))


def test_layers_without_attention():
    model = RECIPES["qwen3_5"].build("eager")
    with pytest.raises(ApETError, match="decoder layer without attention"):
        apply(model, FastV(2, layer=3))


def test_attention_changed_after_apply():
    model = tiny_llava("eager")
    inputs = prompts(PROMPTS["one"])
    for method in (FastV(7), VisionZip(7)):
        with compressing(model, method):
            model.set_attn_implementation("sdpa")
            with pytest.raises(ApETError, match="gave out no attention weights"):
                model(**inputs)
            model.set_attn_implementation("eager")
            model(**inputs)


def test_nothing_is_left_behind(eager):
    inputs = prompts(PROMPTS["one"])
    plain = eager(**inputs).logits
    before = snapshot(eager)
    for method in (FastV(7), VisionZip(7)):
        with compressing(eager, method):
            assert not torch.equal(eager(**inputs).logits, plain)
        assert snapshot(eager) == before
        assert torch.equal(eager(**inputs).logits, plain)


def test_pyramiddrop_finds_its_depths_and_stays_idempotent(eager):
    with compressing(eager, PyramidDrop(5)) as session:
        assert apply(eager, PyramidDrop(5)) is session
        assert session.method.layers == PyramidDrop(5).fitted(len(eager.model.language_model.layers)).layers


def test_the_schedule_tells_every_depth(eager):
    """What the KV cache holds, layer by layer."""
    inputs = prompts(PROMPTS["one"])
    with compressing(eager, PyramidDrop(5, layers=(1, 2, 3))) as session:
        cache = eager(**inputs).past_key_values
        schedule = schedule_of(session.images, session.method)
    visual = int((inputs["input_ids"] == IMAGE_TOKEN).sum())
    text = inputs["input_ids"].shape[1] - visual
    assert [layer for layer, _ in schedule] == [0, 1, 2, 3]
    assert [text + kept for _, kept in schedule] == [layer.keys.shape[-2] for layer in cache.layers]
    assert visual > schedule[1][1] > schedule[2][1] > schedule[3][1] == 5


@pytest.mark.parametrize("layer", [1, 3])
def test_fastv_on_a_filled_cache_reads_its_own_turn(eager, layer):
    """Text that was prefilled before makes no difference to what is kept of an image behind it."""
    inputs = prompts([[6, "i", 4]])
    pixels = inputs.pop("pixel_values")
    with compressing(eager, FastV(7, layer=layer)) as session:
        eager(**inputs, pixel_values=pixels)
        expected = session.images[0].indices
        cache = eager(input_ids=inputs["input_ids"][:, :5]).past_key_values
        eager(
            input_ids=inputs["input_ids"][:, 5:],
            attention_mask=inputs["attention_mask"],
            pixel_values=pixels,
            past_key_values=cache,
        )
        assert torch.equal(session.images[0].indices, expected)
