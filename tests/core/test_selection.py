"""Carrying a decision out on other tensors."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.selections import tensors_of

from apet.core import ApETError, Selection, compress, select


def test_applying_to_the_tokens_gives_the_tokens(draw):
    for shape in ((40, 16), (3, 40, 16)):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            x = draw(*shape, dtype=dtype)
            result, plain = compress(x, 9), compress(x, 9, merge=False)
            assert torch.equal(result.apply(x), result.tokens)
            assert torch.equal(result.apply(x, merge=False), plain.tokens)


def test_select_is_the_decision_of_compress(draw):
    x = draw(3, 40, 16)
    decision, result = select(x, 9), compress(x, 9)
    assert type(decision) is Selection
    for name, value in tensors_of(decision).items():
        assert torch.equal(value, getattr(result, name))


def test_other_widths_and_places_of_the_tokens(draw):
    x, other = draw(3, 40, 16), draw(3, 5, 40, 2)
    result = compress(x, 9)
    merged = result.apply(other, dim=2)
    assert merged.shape == (3, 5, 9, 2)
    for image in range(3):
        for slot in range(9):
            members = other[image][:, result.assignment[image] == slot]
            torch.testing.assert_close(merged[image, :, slot], members.mean(1))
    torch.testing.assert_close(
        result.apply(other.permute(1, 2, 0, 3), dim=1, batch_dim=2), merged.permute(1, 2, 0, 3)
    )
    torch.testing.assert_close(result.apply(other[..., 0].movedim(2, 1), dim=1), merged[..., 0].movedim(2, 1))


def test_positions_masks_and_other_dtypes_are_gathered(draw):
    x = draw(3, 40, 16)
    result = compress(x, 9)
    positions = torch.arange(40).expand(3, 40)
    assert torch.equal(result.apply(positions, dim=1, merge=False), result.indices)
    three = torch.arange(40).expand(3, 2, 40)
    assert torch.equal(result.apply(three, dim=-1, merge=False)[:, 1], result.indices)
    mrope = torch.arange(40).expand(4, 3, 40)
    assert torch.equal(result.apply(mrope, dim=2, merge=False, batch_dim=1)[2], result.indices)
    mask = torch.zeros(3, 40, dtype=torch.bool).scatter_(1, result.indices, True)
    assert result.apply(mask, dim=-1, merge=False).all()
    single = compress(x[0], 9)
    assert torch.equal(single.apply(torch.arange(40), dim=0, merge=False), single.indices)
    assert torch.equal(single.apply(torch.arange(40).expand(6, 40), dim=1, merge=False)[5], single.indices)


def test_gradients_flow_through(draw):
    result = compress(draw(2, 30, 8), 6)
    for merge in (True, False):
        other = draw(2, 30, 3, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda y, merge=merge: result.apply(y, merge=merge), (other,))


def test_sums_are_the_same_bits_with_and_without_gradients(draw):
    """Float32 on a CPU has a way of its own, that does not record what a gradient needs."""
    for shape in ((50, 33), (3, 50, 33)):
        x = draw(*shape)
        result = compress(x, 6)
        assert torch.equal(result.tokens, result.apply(x.clone().requires_grad_()).detach())


def test_unbatch(draw):
    x = draw(3, 40, 16)
    parts = compress(x, 9).unbatch()
    assert len(parts) == 3
    for image, part in enumerate(parts):
        alone = compress(x[image], 9)
        assert type(part) is type(alone)
        for name, value in tensors_of(part).items():
            assert torch.equal(value, getattr(alone, name))
        assert part.unbatch() == [part]


def test_a_decision_is_frozen(draw):
    with pytest.raises(dataclasses.FrozenInstanceError):
        compress(draw(9, 3), 3).tokens = None


def test_errors(draw):
    batch, single = compress(draw(3, 40, 16), 9), compress(draw(40, 16), 9)
    cases = [
        (
            single,
            (torch.zeros(39, 2),),
            {},
            r"shape \(39, 2\); expected a tensor with 40 tokens along dim=-2",
        ),
        (single, (torch.zeros(40),), {}, r"shape \(40,\)"),
        (single, (torch.zeros(40, 2),), {"dim": 5}, r"40 tokens along dim=5"),
        (single, ([1, 2],), {}, r"list"),
        (single, (torch.zeros(40, 2, dtype=torch.int64),), {}, r"merge=True on torch.int64; .*merge=False"),
        (single, (torch.zeros(40, 2, device="meta"),), {}, r"a tensor on meta; expected one on cpu"),
        (batch, (torch.zeros(2, 40, 2),), {}, r"shape \(2, 40, 2\).*3 images along batch_dim=0"),
        (batch, (torch.zeros(40, 2),), {}, r"3 images"),
        (batch, (torch.zeros(3, 40, 2),), {"batch_dim": 4}, r"batch_dim=4"),
        (batch, (torch.zeros(40, 3),), {"dim": 0, "batch_dim": -2}, r"batch_dim=-2"),
    ]
    for decision, arguments, options, message in cases:
        with pytest.raises(ApETError, match="^apply: got .*" + message):
            decision.apply(*arguments, **options)
