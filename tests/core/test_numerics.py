"""Where float32 or half precision would break a plain implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core_oracle import restate

from apet.core import compress
from apet.core.blocks import product, read_tokens
from apet.core.residual import approximation_errors


def same_decision(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("basis", "indices", "assignment"))


def true_errors(x, basis, cutoff=1e-9):
    """Distance to the span of the basis, in float64 by least squares: the limit of a vanishing ridge."""
    x = x.double().numpy()
    span = x[basis.numpy()]
    return np.linalg.norm(x - x @ np.linalg.pinv(span, rcond=cutoff) @ span, axis=1)


@pytest.mark.parametrize("ridge", [1e-5, 0.0])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_duplicated_tokens_make_a_singular_basis(draw, ridge, size):
    x = size * draw(6, 32).repeat(8, 1)
    result = compress(x, 24, basis_size=24, ridge=ridge)
    assert float(result.errors.max()) < 1e-6 * float(x.norm(dim=1).max())
    assert sorted((result.basis[:6] % 6).tolist()) == list(range(6))


@pytest.mark.parametrize("ridge", [1e-5, 0.0])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_basis_of_64_tokens_and_rank_5(draw, ridge, size):
    low = size * draw(64, 5, shared=0.0) @ draw(5, 192, seed=1, shared=0.0)
    alone = compress(low, 64, basis_size=64, ridge=ridge)
    assert torch.equal(alone.tokens, low)
    assert float(alone.errors.max()) < max(1e-5, 1e-6 * float(low.norm(dim=1).max()))
    x = torch.cat((low, size * draw(40, 192, seed=2)))
    mixed = compress(x, 70, basis_size=64, ridge=ridge)
    # The rounding of the low-rank tokens gives the basis some two dozen directions that mean nothing.
    bound = max(1e-5, 1e-6 * float(x.norm(dim=1).max()))
    np.testing.assert_allclose(mixed.errors.numpy(), true_errors(x, mixed.basis, 1e-5), rtol=5e-3, atol=bound)


def test_zero_ridge_is_least_squares(draw):
    x = draw(60, 24)
    result = compress(x, 20, ridge=0.0)
    np.testing.assert_allclose(result.errors.numpy(), true_errors(x, result.basis), rtol=1e-5, atol=1e-5)


def test_error_of_tokens_in_the_span_is_not_lost_to_cancellation(draw):
    directions = draw(4, 64, shared=0.0)
    mixed = draw(40, 4, seed=1, shared=0.0) @ directions
    mixed[7] += 1e-3 * torch.nn.functional.normalize(draw(64, seed=3, shared=0.0), dim=0)
    x = torch.cat((50 * directions, mixed))
    result = compress(x, 10, basis_size=4, start=0)
    assert sorted(result.basis.tolist()) == [0, 1, 2, 3]
    assert 11 in result.indices.tolist()
    outside = true_errors(x, result.basis)[11]
    assert float(result.errors[11]) == pytest.approx(outside, rel=1e-2)


def test_massive_activations_do_not_blur_ordinary_tokens(draw):
    x = draw(100, 64, shared=0.0)
    x[[10, 50]] *= 1e4
    result = compress(x, 20, basis_size=6)
    assert set(result.basis[:2].tolist()) == {10, 50}
    own = restate(x.double().numpy(), 20, basis_size=6)
    np.testing.assert_array_equal(result.indices.numpy(), own.indices)
    ordinary = [i for i in range(100) if i not in (10, 50)]
    np.testing.assert_allclose(result.errors.numpy()[ordinary], own.errors[ordinary], rtol=1e-5, atol=1e-5)


def test_half_precision_whose_squares_overflow(draw):
    x = (500 * draw(50, 64)).half()
    assert torch.isinf((x - x[0]).square().sum(-1)).any()
    half, full = compress(x, 12), compress(x.float(), 12)
    assert same_decision(half, full)
    assert torch.equal(half.errors, full.errors)
    torch.testing.assert_close(half.tokens, full.tokens.half())


@pytest.mark.parametrize("power", [-140, -83, -60, 60, 83, 110])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_powers_of_two_change_no_decision(draw, power, dtype):
    """With a ridge that scales along, everything is the same but for the unit; float32 underflow apart."""
    x = draw(2, 40, 24, dtype=torch.bfloat16).to(dtype)
    scaled = (x.double() * 2.0**power).to(dtype)
    plain, result = compress(x, 9, ridge=0.0), compress(scaled, 9, ridge=0.0)
    if power == -140:
        assert torch.isfinite(result.errors).all()
        return
    assert same_decision(plain, result)
    torch.testing.assert_close(result.errors.double() * 2.0**-power, plain.errors.double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        result.tokens.double() * 2.0**-power, plain.tokens.double(), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("check_finite", [True, False])
@pytest.mark.parametrize("size", [1e25, 1e-25])
def test_sizes_that_overflow_squares(draw, size, check_finite):
    x = draw(40, 24)
    result = compress(size * x, 9, ridge=0.0, check_finite=check_finite)
    own = restate((size * x).double().numpy() / size, 9, ridge=0.0)
    np.testing.assert_array_equal(result.indices.numpy(), own.indices)
    np.testing.assert_allclose(result.errors.numpy() / np.float32(size), own.errors, rtol=1e-5, atol=1e-5)


def test_ridge_scales_with_the_unit(draw):
    """Where the ridge dwarfs the tokens nothing is approximated, and errors are norms."""
    x = 1e-25 * draw(30, 8)
    result = compress(x, 6)
    np.testing.assert_allclose(result.errors.numpy(), x.double().norm(dim=1).numpy(), rtol=1e-5)


def test_one_extreme_image_does_not_change_the_others(draw):
    x = draw(3, 40, 24)
    x[1] *= 1e25
    batch = compress(x, 9)
    for image in range(3):
        alone = compress(x[image], 9)
        assert same_decision(alone, batch.unbatch()[image])
        assert torch.equal(alone.errors, batch.errors[image])


@pytest.mark.parametrize("check_finite", [True, False])
def test_not_checking_gives_the_same_on_finite_tokens(draw, check_finite):
    x = draw(2, 40, 24, dtype=torch.bfloat16)
    assert same_decision(compress(x, 9), compress(x, 9, check_finite=check_finite))


def test_zero_tokens_among_others(draw):
    x = draw(30, 8)
    x[[0, 4, 9]] = 0
    for keep in (1, 5, 20, 28, 30):
        result = compress(x, keep)
        own = restate(x.numpy(), keep)
        np.testing.assert_array_equal(result.indices.numpy(), own.indices)
        np.testing.assert_array_equal(result.assignment.numpy(), own.assignment)


def test_duplicates_tie_by_lowest_index(draw, small_blocks):
    """Copies have equal errors wherever they stand, so of the copies of a token the first ones are kept."""
    x = draw(12, 64).repeat(6, 1)
    result = compress(x, 40, basis_size=3)
    assert all(len(set(result.errors[i::12].tolist())) == 1 for i in range(12) if i not in result.basis % 12)
    kept = set(result.indices.tolist()) - set(result.basis.tolist())
    for index in kept:
        earlier = [i for i in range(index % 12, index, 12) if i not in result.basis.tolist()]
        assert set(earlier) <= kept
    for index, slot in enumerate(result.assignment.tolist()):
        if index not in result.indices:
            same = [s for s, j in enumerate(result.indices.tolist()) if torch.equal(x[j], x[index])]
            assert not same or slot == same[0]


@pytest.mark.parametrize("width", [5, 7, 16, 33])
def test_where_an_image_begins_in_memory_changes_no_bit(draw, width):
    """Products of a library sum in another order where rows are not aligned, as in a batch of odd width."""
    for seed in range(40):
        x = draw(6, 3, width, seed=seed)
        for number, together in enumerate(compress(x, 1, basis_size=1).unbatch()):
            alone = compress(x[number].clone(), 1, basis_size=1)
            assert torch.equal(alone.errors, together.errors)


def test_a_basis_whose_gram_matrix_rounding_breaks(draw, monkeypatch):
    """Where a device's products round worse than a factorisation bears, a larger ridge takes over."""
    few = draw(3, 64).repeat_interleave(4, dim=0).unsqueeze(0)
    tokens = torch.cat([few, draw(1, 20, 64, seed=1)], dim=1)
    basis = torch.arange(10)[None]
    read = read_tokens(tokens, True, "compress")
    expected = approximation_errors(read, basis, 0.0)

    def rough(left, right):
        exact = product(left, right)
        if left.shape[-2] != right.shape[-1]:
            return exact
        noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(0), dtype=exact.dtype)
        return exact * (1 + 1e-11 * (noise + noise.mT))

    monkeypatch.setattr("apet.core.residual.product", rough)
    _, info = torch.linalg.cholesky_ex(rough(tokens[:, :10].double(), tokens[:, :10].double().mT))
    assert info.any()  # it breaks
    found = approximation_errors(read, basis, 0.0)
    scale = tokens.norm(dim=-1).max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
