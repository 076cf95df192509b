"""Pictures of several sizes under one count: one that has fewer tokens keeps all of them."""

from __future__ import annotations

import pytest
import torch

from apet.hf import compressing
from apet.methods import ApET, Random, Stage2
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch

QWEN = RECIPES["qwen2_5_vl"]
SIZES: list[list[str | int]] = [[2, "i", 1, "j", 5], [3, "i", 9]]
"""Pictures of 16, 24 and 16 tokens."""


@pytest.mark.parametrize(
    ("chosen", "first", "second"),
    [
        (ApET(20, basis_size=3), [16, 20, 16], [16, 20, 16]),
        (ApET(99, basis_size=3), [16, 24, 16], [16, 24, 16]),
        (ApET(20, basis_size=3, stage2=Stage2(2, 18)), [16, 20, 16], [16, 18, 16]),
        (ApET(0.5, basis_size=3, stage2=Stage2(2, 10)), [8, 12, 8], [8, 10, 8]),
        (ApET(lambda segment: 18, basis_size=3), [16, 18, 16], [16, 18, 16]),
        (Random(20), [16, 20, 16], [16, 20, 16]),
    ],
)
def test_a_picture_with_fewer_tokens_than_the_count_keeps_all(chosen, first, second):
    model = QWEN.build("sdpa")
    inputs = batch(QWEN, SIZES)
    with compressing(model, chosen) as session:
        out = model(**inputs).logits
        images = session.images
    assert [image.tokens_stage1 for image in images] == first
    assert [image.tokens_stage2 for image in images] == second
    if first == [16, 24, 16]:
        assert torch.equal(out, model(**inputs).logits)


def test_pictures_with_fewer_tokens_than_a_shared_count_add_what_they_have():
    """What the pictures of a row have together is the count, or all tokens of one with fewer."""
    model = QWEN.build("sdpa")
    with compressing(model, ApET(20, basis_size=3, budget="shared")) as session:
        model(**batch(QWEN, SIZES))
        first = [image.tokens_stage1 for image in session.images]
    assert (sum(first[:2]), first[2]) == (16 + 20, 16)
