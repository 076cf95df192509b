"""Several samples packed into one row: each is what it is alone, and no gradient crosses, in every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from apet.core.errors import ApETError
from apet.hf import compressing
from apet.hf.families import FAMILIES
from apet.methods import DART, ApET, FastV, Method, NoImage, PyramidDrop, ResPrune, SparseVLM, Stage2
from tests.hf.cases import method
from tests.hf.families import RECIPES
from tests.hf.families.recipe import Recipe, packed, single
from tests.hf.test_families import built, chosen
from tests.hf.tiny import prompts, tiny_llava

TOLERANCE = 1e-4


def positions_of(model: Any, alone: list[dict[str, Any]]) -> torch.Tensor:
    """Position ids that begin anew with each sample; of several axes, those of the text lead."""
    seen = []
    text = FAMILIES[model.config.model_type].text_of(model.base_model)

    def note(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(kwargs["position_ids"] if "position_ids" in kwargs else args[1])

    rotary = next(child for name, child in text.named_children() if name.startswith("rotary_emb"))
    hook = rotary.register_forward_pre_hook(note, with_kwargs=True)
    for inputs in alone:
        model(**inputs, use_cache=False)
    hook.remove()
    seen = seen[:: len(seen) // len(alone)]
    counts = torch.cat([torch.arange(inputs["input_ids"].shape[1]) for inputs in alone])[None]
    if seen[0].dim() == 2:
        return counts
    return torch.cat([counts[None].to(seen[0].dtype), torch.cat(seen, -1)])


def samples(recipe: Recipe, model: Any) -> tuple[dict[str, Any], list[dict[str, Any]], int] | None:
    """Two samples in a row and each alone, and where the second begins; None where plain ones mix."""
    rows = recipe.prompts["image" if "image" in recipe.prompts else next(iter(recipe.prompts))]
    alone = [single(recipe, rows, number) for number in range(2)]
    together = packed(recipe, rows[:2])
    together.pop("attention_mask")
    together["position_ids"] = positions_of(model, alone)
    begin = alone[0]["input_ids"].shape[1]
    try:
        gap = gap_of(model, together, alone, begin)
    except (ValueError, RuntimeError):  # a model that takes no row of text before its axes
        return None
    return (together, alone, begin) if gap < TOLERANCE else None


def gap_of(model: Any, together: dict[str, Any], alone: list[dict[str, Any]], begin: int) -> float:
    """Largest difference of logits between packed and alone."""
    logits = model(**together, use_cache=False).logits
    parts = [model(**inputs, use_cache=False).logits for inputs in alone]
    return max(
        float((logits[:, :begin] - parts[0]).abs().max()), float((logits[:, begin:] - parts[1]).abs().max())
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_sample_in_a_pack_is_the_sample_alone(name):
    recipe, model = RECIPES[name], built(name)
    found = samples(recipe, model)
    if found is None:
        pytest.skip("plain transformers does not keep its samples apart")
    for stage in ("stage 1", "both"):
        for positions in ("own", "contiguous"):
            with compressing(model, chosen(recipe, stage, positions=positions)):
                assert gap_of(model, *found) < TOLERANCE, (stage, positions)


def pack(*parts: dict[str, Any]) -> dict[str, Any]:
    """Samples of the tiny LLaVA in one row."""
    ids = [part["input_ids"] for part in parts]
    return {
        "input_ids": torch.cat(ids, 1),
        "pixel_values": torch.cat([part["pixel_values"] for part in parts if "pixel_values" in part]),
        "position_ids": torch.cat([torch.arange(own.shape[1]) for own in ids])[None],
    }


SAMPLES = [
    prompts([["i", 5]], seed=1),
    prompts([[3, "i", 2, "i", 4]], seed=2),
    prompts([[4, "i", 1]], seed=3),
]
METHODS: dict[str, Method] = {
    "one stage": method("stage 1"),
    "behind the projector": method("stage 1", at="projector_output"),
    "stage 2": method("stage 2"),
    "two stages": method("both"),
    "contiguous": method("both", positions="contiguous"),
    "shared": ApET(12, budget="shared", at="projector_output", basis_size=4),
    "told the prompt": ResPrune(12, stage2=Stage2(2, 5)),
    "tolerance": ApET(tolerance=0.2, min_keep=2, basis_size=4, stage2=Stage2(2, 4)),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_methods(models, name, attention):
    llava, together = models[attention], pack(*SAMPLES)
    with compressing(llava, METHODS[name]):
        logits = llava(**together, use_cache=False).logits
        alone = [llava(**own, use_cache=False).logits for own in SAMPLES]
    torch.testing.assert_close(logits, torch.cat(alone, 1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("stage", ["stage 1", "stage 2", "both"])
def test_rows_of_packs_that_get_unequally_short(llava, stage):
    """Slots on the left of the shorter row are a sample of their own."""
    rows = [pack(SAMPLES[0], SAMPLES[1]), pack(SAMPLES[2], SAMPLES[0])]
    width = max(row["input_ids"].shape[1] for row in rows)
    short = width - rows[1]["input_ids"].shape[1]
    tail = {"input_ids": torch.full((1, short), 7), "position_ids": torch.arange(short)[None]}
    for key, value in tail.items():
        rows[1][key] = torch.cat([rows[1][key], value], 1)
    together = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    with compressing(llava, method(stage)):
        logits = llava(**together, use_cache=False).logits
        for row, own in enumerate(rows):
            alone = llava(**own, use_cache=False).logits
            torch.testing.assert_close(logits[row : row + 1], alone, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("stage", ["stage 1", "both"])
def test_no_gradient_crosses(stage):
    model, together = tiny_llava().train(), pack(*SAMPLES[:2])
    begin = SAMPLES[0]["input_ids"].shape[1]
    labels = torch.full_like(together["input_ids"], -100)
    labels[:, -3:] = together["input_ids"][:, -3:]
    embeds = model.get_input_embeddings()(together.pop("input_ids")).requires_grad_()
    pixels = together["pixel_values"].requires_grad_()
    with torch.enable_grad(), compressing(model, method(stage)):
        embeds = embeds.detach().requires_grad_()
        model(**together, inputs_embeds=embeds, labels=labels, use_cache=False).loss.backward()
    assert not embeds.grad[:, :begin].any()
    assert embeds.grad[:, begin:].any()
    assert not pixels.grad[0].any()
    assert pixels.grad[1:].any()


@pytest.mark.parametrize("stage", ["stage 1", "both"])
def test_boundaries_for_variable_length_attention(stage):
    """Every layer is told the boundaries of what it gets, and the length of the longest sample."""
    seen = []

    def probe(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        seen.append((query.shape[2], options["cu_seq_lens_q"].tolist(), options["max_length_q"]))
        assert options["cu_seq_lens_k"].dtype == torch.int32
        return ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, mask, dropout=0.0, scaling=options["scaling"], is_causal=True
        )

    ALL_ATTENTION_FUNCTIONS.register("probe", probe)
    ALL_MASK_ATTENTION_FUNCTIONS.register("probe", sdpa_mask)
    model, together = tiny_llava(), pack(*SAMPLES)
    model.set_attn_implementation({"text_config": "probe"})
    lengths = [own["input_ids"].shape[1] for own in SAMPLES]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    together |= {f"cu_seq_lens_{side}": bounds for side in "qk"}
    together |= {f"max_length_{side}": max(lengths) for side in "qk"}
    with compressing(model, method(stage)):
        model(**together, use_cache=False)
        images = (1, 2, 1)
        for number, got in enumerate(seen):
            kept = 5 if stage == "both" and number >= 2 else 12
            short = [length - count * (36 - kept) for length, count in zip(lengths, images, strict=True)]
            ends = torch.tensor([0, *short]).cumsum(0).tolist()
            assert got == (ends[-1], ends, max(short))
        together["cu_seq_lens_q"] = bounds + torch.tensor([0, -20, 0, 0], dtype=torch.int32)
        with pytest.raises(ApETError, match="cu_seq_lens_q with a boundary inside of an image"):
            model(**together, use_cache=False)


@pytest.mark.parametrize("build", [FastV, PyramidDrop, SparseVLM])
def test_attention_of_one_text_is_refused(models, build):
    with (
        compressing(models["eager"], build(7)),
        pytest.raises(ApETError, match="with samples packed into one"),
    ):
        models["eager"](**pack(*SAMPLES), use_cache=False)


def test_dart_reads_the_text_of_the_sample(llava):
    with compressing(llava, DART(7)) as session:
        llava(**pack(*SAMPLES))
        together = [image.indices for image in session.images]
        alone = []
        for own in SAMPLES:
            llava(**own)
            alone += [image.indices for image in session.images]
    assert all(map(torch.equal, together, alone))
    assert len(together) == len(alone)


def test_what_closes_up_gaps_is_refused(llava):
    with compressing(llava, NoImage()), pytest.raises(ApETError, match="NoImage with samples packed"):
        llava(**pack(*SAMPLES), use_cache=False)
