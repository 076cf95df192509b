"""The kernels give what the core gives."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import by_core, compare, same_bits
from tests.selections import tensors_of

from apet.core import ApETError, Compression, compress

HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize(
    ("shape", "keep", "size"),
    [((2, 50, 40), 12, 5), ((1, 37, 67), 36, 3), ((3, 7, 5), 3, 10), ((1, 20, 1), 20, 4), ((1, 1), 1, 10)],
)
def test_shapes(draw, shape, keep, size, dtype):
    compare(draw(*shape, dtype=dtype), keep, basis_size=size)


def test_one_kept_and_transposed_memory(draw):
    x = draw(40, 33).T
    assert not x.is_contiguous()
    compare(x, 1)
    compare(x, 9, start=5, basis_size=3)


def test_start_per_image(draw):
    start = torch.tensor([4, 0])
    result = compare(draw(2, 20, 16), 6, basis_size=2, start=start)
    assert result.basis[:, 0].tolist() == [4, 0]


def test_duplicates_and_zeros_tie_by_lowest_index(draw):
    x = draw(6, 32).repeat(6, 1)
    x[[0, 9, 20]] = 0
    compare(x, 14, basis_size=3)
    compare(torch.zeros_like(x), 4, basis_size=3)


def test_a_singular_basis(draw):
    x = draw(4, 32).repeat(6, 1)
    result = compress(x, 12, basis_size=9)
    assert float(result.errors.max()) < 1e-6 * float(x.norm(dim=1).max())
    assert sorted((result.basis[:4] % 4).tolist()) == [0, 1, 2, 3]


def test_the_error_of_a_token_near_the_span_is_not_lost(draw):
    directions = draw(4, 64, shared=0.0)
    mixed = draw(30, 4, seed=1, shared=0.0) @ directions
    mixed[7] += 1e-3 * torch.nn.functional.normalize(draw(64, seed=3, shared=0.0), dim=0)
    x = torch.cat((50 * directions, mixed))
    result = compress(x, 10, basis_size=4, start=0)
    core = by_core(compress, x, 10, basis_size=4, start=0)
    assert 11 in result.indices.tolist()
    assert float(result.errors[11]) == pytest.approx(float(core.errors[11]), rel=1e-2)


@pytest.mark.parametrize("size", [1e25, 1e-25])
@pytest.mark.parametrize("check_finite", [True, False])
def test_sizes_whose_squares_leave_float32(draw, size, check_finite):
    x = draw(2, 40, 24)
    x[0] *= size
    compare(x, 9, basis_size=4, ridge=0.0, check_finite=check_finite)


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_whose_squares_overflow(draw, dtype):
    compare((500 * draw(40, 24)).to(dtype), 9, basis_size=4)


def test_massive_activations(draw):
    x = draw(40, 32, shared=0.0)
    x[[10, 30]] *= 1e4
    assert set(compare(x, 12, basis_size=4).basis[:2].tolist()) == {10, 30}


def test_a_ridge_that_dwarfs_the_tokens(draw):
    x = 1e-25 * draw(30, 8)
    torch.testing.assert_close(compress(x, 6).errors.double(), x.double().norm(dim=1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite(draw, bad):
    x = draw(2, 20, 8)
    x[1, 3, 2] = bad
    with pytest.raises(ApETError) as ours:
        compress(x, 6)
    with pytest.raises(ApETError) as core:
        by_core(compress, x, 6)
    assert str(ours.value) == str(core.value)
    unchecked = compress(x, 6, check_finite=False)
    assert 0 <= int(unchecked.indices.min()) <= int(unchecked.indices.max()) < 20
    assert 0 <= int(unchecked.assignment.min()) <= int(unchecked.assignment.max()) < 6


def test_an_image_gets_the_same_bits_alone_and_in_a_batch(draw):
    x = draw(3, 50, 40, dtype=torch.bfloat16)
    batch = compress(x, 12, basis_size=4)
    for image in range(3):
        alone = compress(x[image], 12, basis_size=4)
        inside = {name: value[image] for name, value in tensors_of(batch).items()}
        assert same_bits(alone, Compression(**inside))


def test_other_grids_decide_the_same(draw, small_tiles):
    x = draw(60, 40)
    first = compare(x, 20, basis_size=4)
    small_tiles(stream=(64, 32, 4), residual=(16, 32, 4), assign=(16, 32, 32, 4), mean=(8, 16, 4))
    second = compare(x, 20, basis_size=4)
    torch.testing.assert_close(first.tokens, second.tokens, rtol=1e-6, atol=1e-6)


def test_gradients_are_the_cores(draw):
    grads = []
    for call in (compress, lambda *args, **options: by_core(compress, *args, **options)):
        x = draw(30, 8).requires_grad_()
        call(x, 6, basis_size=3).tokens.square().sum().backward()
        grads.append(x.grad)
    assert torch.equal(*grads)


def test_no_tensor_of_all_pairs(draw):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() != source:
                self.largest = max(self.largest, out.untyped_storage().nbytes())
            return out

    x = draw(300, 16, dtype=torch.bfloat16)
    source = x.untyped_storage().data_ptr()
    with Sizes() as sizes:
        compress(x, 100, basis_size=2)
    assert sizes.largest < 4 * 300 * 16 < 300 * 100
