"""What only a GPU shows: true sizes, no waiting for the device, capture in a graph."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import by_core, same_bits

from apet.app.bench.steps import wrong_choice, wrong_kept, wrong_means
from apet.core import compress

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "keep"), [((4, 576, 1024), 64), ((1, 2880, 4096), 320), ((2, 1296, 3584), 259)]
)
def test_true_sizes(draw, shape, keep, dtype):
    """Among so many tokens some are so alike that rounding decides; see `agreement`."""
    x = draw(*shape, dtype=dtype)
    ours, core = compress(x, keep), by_core(compress, x, keep)
    bound = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    for image, mine, other in zip(x, ours.unbatch(), core.unbatch(), strict=True):
        assert torch.equal(mine.basis, other.basis)
        # What rounding leaves of a basis token is as large as its norm has it.
        least = 1e-4 * image.float().norm(dim=1)
        is_basis = torch.zeros_like(other.errors, dtype=torch.bool).index_fill_(0, other.basis, True)
        allowed = torch.where(is_basis, least, 2e-5 * other.errors)
        assert bool(((mine.errors - other.errors).abs() <= allowed).all())
        assert wrong_kept(other.errors, mine.indices, other.indices) is None
        assert wrong_choice(image, mine) is None
        assert wrong_means(image, mine, bound) is None


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_tokens_on_another_gpu_than_the_current_one(draw):
    x = draw(40, 64)
    there = compress(x.to("cuda:1"), 9)
    assert torch.equal(there.indices.cpu(), compress(x.to("cuda:0"), 9).indices.cpu())


def test_runs_repeat_bit_for_bit(draw):
    x = draw(8, 576, 4096, dtype=torch.bfloat16)
    first = compress(x, 64)
    assert all(same_bits(first, compress(x, 64)) for _ in range(20))


def test_nothing_waits_for_the_device(draw):
    x = draw(2, 576, 1024, dtype=torch.bfloat16)
    compress(x, 64, check_finite=False)
    torch.cuda.set_sync_debug_mode("error")
    try:
        compress(x, 64, check_finite=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_graph_replays_on_new_tokens(draw):
    x = draw(2, 576, 1024, dtype=torch.bfloat16)
    for _ in range(2):
        compress(x, 64, check_finite=False)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compress(x, 64, check_finite=False)
    x.copy_(draw(2, 576, 1024, seed=5, dtype=torch.bfloat16))
    graph.replay()
    torch.cuda.synchronize()
    expected = by_core(compress, x, 64)
    assert torch.equal(result.indices, expected.indices)
    assert torch.equal(result.assignment, expected.assignment)


def test_memory_does_not_grow_with_all_pairs(draw):
    x = draw(16384, 512, dtype=torch.bfloat16)
    compress(x, 3277)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    compress(x, 3277)
    grown = torch.cuda.max_memory_allocated() - before
    assert grown < 16384 * 3277
