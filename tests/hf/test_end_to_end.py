"""A tiny Qwen2.5-VL and Qwen3-VL from pixels to tokens; `python -m tests.hf.test_end_to_end` shows it."""

from __future__ import annotations

import pytest

from apet.hf import compressing
from apet.methods import ApET, Stage2
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch

PROMPTS = {"image": ["i", 5], "video": [2, "w", 5], "image and video": [2, "j", 3, "v", 5]}
TOKENS = {"image": 16, "video": 24, "image and video": 24 + 32}
"""Visual tokens of each before compression."""


def run(name: str, prompt: str) -> tuple[int, int, int, list[int]]:
    """Visual tokens before, in the first layers and in the last ones; and what is generated."""
    recipe = RECIPES[name]
    model, inputs = recipe.build("sdpa"), batch(recipe, [PROMPTS[prompt]])
    method = ApET(keep=0.5, stage2=Stage2(recipe.layer, 0.25))
    with compressing(model, method) as session:
        output = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    new = output[0, inputs["input_ids"].shape[1] :].tolist()
    return session.visual_tokens, session.kept_stage1, session.kept_stage2, new


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_counts(name, prompt):
    before, first, last, new = run(name, prompt)
    assert (before, first, last) == (TOKENS[prompt], TOKENS[prompt] // 2, TOKENS[prompt] // 4)
    assert len(new) == 4


if __name__ == "__main__":
    for family in ("qwen2_5_vl", "qwen3_vl"):
        for kind in PROMPTS:
            tokens, kept, left, ids = run(family, kind)
            print(f"{family:10} {kind:15} {tokens} visual tokens, {kept}, then {left}: ids {ids}")
