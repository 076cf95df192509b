"""Under ``torch.use_deterministic_algorithms(True)`` nothing is refused, on a GPU either."""

from __future__ import annotations

import pytest
import torch
from tests.deterministic import REFUSED, Operations
from tests.simulated_device import to_device, watching

from apet.core import Segment, compress, compress_ragged


def everything(x):
    frames, about = [x[:20], x[:20] + 1e-3, x[20:40]], [Segment("video", 0, part, 20) for part in range(3)]
    for basis in ("fps", "dpc", "random"):
        yield compress(x, 9, basis=basis)
    yield compress(x.view(2, 30, -1), 9)
    yield compress(x.half(), 9)
    yield compress(1e25 * x, 9, start=3)
    yield compress(x, tolerance=0.2)
    yield from compress_ragged([x[:30], x, x[:30]], 9, budget="shared")
    yield from compress_ragged(frames, tolerance=0.1, about=about, basis_size=3)


def test_the_list_was_found():
    assert {"put", "histc", "bincount", "median"} <= REFUSED


def test_no_operation_is_refused_on_a_gpu(draw):
    with watching(), Operations() as operations:
        for result in everything(to_device(draw(60, 24))):
            assert result.num_kept
    assert len(operations.all) > 30
    assert operations.refused == set()


def test_the_check_sees_a_refused_one():
    with watching(), Operations() as operations:
        to_device(torch.ones(3)).histc()
        to_device(torch.ones(3).long()).cumsum(0)
    assert operations.refused == {"histc"}


@pytest.mark.parametrize("gradients", [False, True])
def test_on_a_cpu(draw, gradients):
    expected = list(everything(draw(60, 24)))
    torch.use_deterministic_algorithms(True)
    try:
        found = list(everything(draw(60, 24).requires_grad_(gradients)))
        if gradients:
            sum(result.tokens.sum() for result in found).backward()
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(found, expected, strict=True):
        for name in ("indices", "assignment", "errors", "basis"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        torch.testing.assert_close(one.tokens.detach(), other.tokens, rtol=1e-6, atol=0)
