"""ApET as the authors' code has it, inside a model: what goes on, in both stages and in one selection."""

from __future__ import annotations

import pytest
import torch

from apet.hf import compressing
from apet.methods import ApET, Stage2
from tests.hf.test_oracle import TOLERANCE
from tests.hf.tiny import TOKENS, prompts, single
from tests.methods import oracles


@pytest.mark.parametrize("slots", ["overwrite", "blend", "append"])
def test_both_stages(llava, slots):
    inputs = prompts([["i", 2, "i", 5], [3, "i", 9]])
    features = llava.model.vision_tower(inputs["pixel_values"]).last_hidden_state[:, 1:]
    method = ApET(
        14, basis_size=4, slots=slots, stage2=Stage2(2, 9), inner_ridge=1e-1, positions="contiguous"
    )
    with compressing(llava, method) as session:
        logits = llava(**inputs).logits
        images = list(session.images)
        for row in range(2):
            alone = llava(**single(inputs, row)).logits[0, -1]
            assert (alone - logits[row, -1]).abs().max() < TOLERANCE
    for image, own in zip(images, features, strict=True):
        expected = oracles.authors(own.double().numpy(), 14, 4, slots, "place")
        assert image.stage1.indices.tolist() == list(expected)
        for row, found in zip(expected.values(), image.stage1.tokens, strict=True):
            torch.testing.assert_close(found.double(), torch.from_numpy(row), rtol=1e-4, atol=1e-4)
        first, second = image.stage1.selection, image.stage2.selection
        assert image.stage2.mix.shape == (9, 14)
        assert image.selection.mix.shape == (9, TOKENS)
        torch.testing.assert_close(image.selection.apply(own), second.apply(first.apply(own)))
