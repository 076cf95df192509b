"""No tensor that the method makes is larger than it has to be."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from apet.core import blocks, compress


class Sizes(TorchDispatchMode):
    """Records the largest tensor that an operation returns in memory of its own."""

    def __init__(self, source):
        super().__init__()
        self.ignored = {source.untyped_storage().data_ptr()}
        self.largest = (0, "")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in self.ignored:
                self.largest = max(self.largest, (value.untyped_storage().nbytes(), str(func)))
        return out


@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
@pytest.mark.parametrize("scale", [1.0, 1e25])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_largest_tensor(draw, monkeypatch, basis, scale, dtype):
    block = 1 << 16
    monkeypatch.setattr(blocks, "CPU_BYTES", dict.fromkeys(blocks.CPU_BYTES, block))
    n, d, keep, size = 700, 256, 30, 10
    x = (scale * draw(2, n, d)).to(dtype)
    with Sizes(x) as sizes:
        result = compress(x, keep, basis=basis, basis_size=size)
    allowed = max(8 * 2 * keep * d, 8 * 2 * n, 2 * block)
    assert allowed < 4 * n * d
    assert sizes.largest[0] <= allowed, sizes.largest
    assert result.tokens.shape == (2, keep, d)


def test_the_measure_sees_a_copy(draw):
    x = draw(2, 70, 25, dtype=torch.bfloat16)
    with Sizes(x) as sizes:
        x.float()
    assert sizes.largest[0] == 4 * x.numel()


def test_blocks_cover_everything_once():
    for rows in (1, 6, 7, 8, 13, 14, 15, 100):
        for purpose in (blocks.STREAM, blocks.RESIDUAL, blocks.PRODUCT):
            for width in (1, 3, 1 << 20):
                seen = torch.zeros(5, rows, dtype=torch.int64)
                for images, part in blocks.row_blocks(5, rows, width, torch.device("cpu"), purpose):
                    seen[images, part] += 1
                assert (seen == 1).all()
    assert list(blocks.row_blocks(5, 0, 4, torch.device("cpu"))) == []


def test_products_on_a_cpu_hold_one_image():
    for purpose in (blocks.RESIDUAL, blocks.PRODUCT):
        assert all(i.stop - i.start == 1 for i, _ in blocks.row_blocks(5, 3, 4, torch.device("cpu"), purpose))
        other = list(blocks.row_blocks(5, 3, 4, torch.device("meta"), purpose))
        assert other == [(slice(0, 5), slice(0, 3))]
