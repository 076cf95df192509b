"""What only a GPU shows: true sizes, no waiting for the device, capture in a graph."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import by_core, compare, same_bits

from apet.core import compress

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "keep"), [((4, 576, 1024), 64), ((1, 2880, 4096), 320), ((2, 1296, 3584), 259)]
)
def test_true_sizes(draw, shape, keep, dtype):
    compare(draw(*shape, dtype=dtype), keep)


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
