"""`compress` against the float64 restatement, over shapes and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core_oracle import restate

from apet.core import compress

SHAPES = [
    (1, 1, 1),
    (1, 5, 1),
    (2, 1, 1),
    (2, 3, 2),
    (7, 4, 7),
    (17, 1, 3),
    (33, 9, 12),
    (60, 64, 11),
    (97, 31, 96),
]
DTYPES = {torch.float64: 3e-7, torch.float32: 3e-7, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def check(result, x, keep, tolerance=3e-7, **options):
    """Everything that the restatement says, given the basis that was picked; and that pick itself."""
    own = restate(x.double().numpy(), keep, **options)
    np.testing.assert_array_equal(result.basis.numpy(), own.basis)
    np.testing.assert_array_equal(result.indices.numpy(), own.indices)
    np.testing.assert_array_equal(result.assignment.numpy(), own.assignment)
    size = float(x.double().norm(dim=1).max())
    np.testing.assert_allclose(result.errors.numpy(), own.errors, rtol=1e-5, atol=2e-6 * size)
    np.testing.assert_allclose(result.tokens.double().numpy(), own.merged, rtol=tolerance, atol=1e-6 * size)


@pytest.mark.parametrize(("n", "d", "keep"), SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_matches_restatement(draw, n, d, keep, seed):
    x = draw(n, d, seed=seed)
    check(compress(x, keep), x, keep)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES.items())
@pytest.mark.parametrize("small", [False, True])
def test_dtypes(draw, dtype, tolerance, small, request):
    if small:
        request.getfixturevalue("small_blocks")
    x = draw(80, 64, dtype=dtype)
    result = compress(x, 20, start=5, basis_size=6)
    assert result.tokens.dtype == dtype
    check(result, x, 20, tolerance, start=5, basis_size=6)


@pytest.mark.parametrize("shape", [(40, 16), (3, 40, 16)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
def test_shapes_dtypes_and_devices_of_the_result(draw, shape, dtype, basis):
    x = draw(*shape, dtype=dtype)
    before = x.clone()
    result = compress(x, 0.25, basis=basis, basis_size=4)
    lead = shape[:-2]
    expected = {
        "tokens": ((*lead, 10, 16), dtype),
        "indices": ((*lead, 10), torch.int64),
        "assignment": ((*lead, 40), torch.int64),
        "errors": ((*lead, 40), torch.float32),
        "basis": ((*lead, 4), torch.int64),
    }
    for name, (size, kind) in expected.items():
        value = getattr(result, name)
        assert (tuple(value.shape), value.dtype, value.device) == (size, kind, x.device), name
    assert (result.num_tokens, result.num_kept, result.batched) == (40, 10, bool(lead))
    assert torch.equal(x, before)


def test_start_is_first_and_default_is_the_largest_norm(draw):
    x = draw(3, 30, 8)
    assert torch.equal(compress(x, 10).basis[:, 0], x.norm(dim=2).argmax(1))
    assert compress(x, 10, start=7).basis[:, 0].tolist() == [7, 7, 7]
    assert compress(x, 10, start=torch.tensor([4, 0, 29])).basis[:, 0].tolist() == [4, 0, 29]
    assert compress(x[0], 10, start=torch.tensor(3, dtype=torch.int32)).basis[0] == 3
    assert compress(x[0], 10, start=torch.tensor([3])).basis[0] == 3


@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
def test_basis_size_is_cut_to_the_budget(draw, basis):
    x = draw(20, 8)
    result = compress(x, 4, basis_size=50, basis=basis)
    assert result.basis.shape == (4,)
    assert sorted(result.basis.tolist()) == result.indices.tolist()


def test_keeping_all_changes_nothing(draw):
    for dtype in DTYPES:
        x = draw(2, 15, 6, dtype=dtype)
        result = compress(x, 1.0)
        assert torch.equal(result.tokens, x)
        assert result.indices.tolist() == [list(range(15))] * 2
        assert torch.equal(result.indices, result.assignment)


def test_keeping_one_is_the_mean(draw):
    x = draw(15, 6)
    torch.testing.assert_close(compress(x, 1).tokens[0], x.mean(0))


def test_without_merging_rows_are_taken_as_they_are(draw):
    x = draw(2, 40, 8)
    plain, merged = compress(x, 9, merge=False), compress(x, 9)
    assert torch.equal(plain.tokens, x.gather(1, plain.indices[..., None].expand(-1, -1, 8)))
    assert torch.equal(plain.indices, merged.indices)
    assert torch.equal(plain.assignment, merged.assignment)
    assert not torch.equal(plain.tokens, merged.tokens)


def test_gradients_reach_every_token(draw):
    x = draw(2, 30, 8).requires_grad_()
    result = compress(x, 6)
    result.tokens.sum().backward()
    assert not result.errors.requires_grad
    counts = torch.stack([torch.bincount(row, minlength=6) for row in result.assignment])
    expected = 1.0 / counts.gather(1, result.assignment).float()
    torch.testing.assert_close(x.grad, expected[..., None].expand_as(x))


def test_gradients_without_merging_reach_kept_tokens_only(draw):
    x = draw(30, 8, dtype=torch.bfloat16).requires_grad_()
    result = compress(x, 6, merge=False)
    result.tokens.sum().backward()
    reached = x.grad.float().sum(1).nonzero().flatten()
    assert torch.equal(reached, result.indices)


def test_gradcheck_of_the_merged_tokens(draw):
    x = draw(7, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda tokens: compress(tokens, 3, basis_size=2).tokens, (x,), eps=1e-7)


def test_runs_in_inference_mode(draw):
    x = draw(30, 8)
    with torch.inference_mode():
        inside = compress(x, 6).tokens.clone()
    assert torch.equal(inside, compress(x, 6).tokens)
