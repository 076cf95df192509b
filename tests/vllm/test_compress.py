"""The features of images and videos, shortened part by part; no vLLM needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from apet.methods import ApET, DivPrune, Method
from apet.vllm.compress import compress_items
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.where import in_squares
from tests.simulated_device import to_device, to_host, watching
from tests.vllm.test_where import Records


def video(frames: int, keep: int = 4, size: int = 12) -> tuple[torch.Tensor, Parts]:
    generator = torch.Generator().manual_seed(frames)
    item = torch.randn(frames * size, 16, generator=generator)
    return item, Parts(equal_parts(len(item), frames), torch.full((frames,), keep, dtype=torch.int32))


def tiles() -> tuple[torch.Tensor, Parts]:
    """Parts in turn, of several sizes and budgets, one kept whole, and tokens that always stay."""
    of = torch.tensor([0, 1, -1, 0, 1, 2, -1, 0, 1, 2, 0, 0, 1, -1, 2, 0, 1, 3], dtype=torch.int32)
    item = torch.randn(len(of), 16, generator=torch.Generator().manual_seed(1))
    return item, Parts(of, torch.tensor([2, 3, 3, 1, 0], dtype=torch.int32))


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("width", [None, 8])
def test_each_part_is_shortened_by_itself(merge: bool, width: int | None) -> None:
    method = ApET(keep=4, basis_size=2, merge=merge)
    given = [video(3), tiles(), video(5)]
    found = compress_items(method, *zip(*given, strict=True), slice(width))
    for (item, parts), short in zip(given, found, strict=True):
        rows = {int(at): item[at] for at in (parts.of < 0).nonzero()[:, 0]}
        for part, keep in enumerate(parts.kept.tolist()):
            where = (parts.of == part).nonzero()[:, 0]
            if keep == len(where):
                rows |= {int(at): item[at] for at in where}
                continue
            chosen = method.select(item[where, :width].unsqueeze(0), keep)
            own = chosen.apply(item[where].unsqueeze(0), merge=merge)
            rows |= {int(at): row for at, row in zip(where[chosen.indices[0]], own[0], strict=True)}
        assert short.indices.tolist() == sorted(rows)
        torch.testing.assert_close(short.rows, torch.stack([rows[at] for at in sorted(rows)]), rtol=0, atol=0)


class Written(TorchDispatchMode):
    """Counts the bytes that operations return in memory of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in given:
                self.bytes += value.nbytes
        return out


@pytest.mark.parametrize("method", [ApET(keep=4, basis_size=2), Records(keep=4)])
def test_a_frame_costs_the_same_in_a_long_video(method: Method) -> None:
    written = []
    for frames in (8, 64):
        item, parts = video(frames, size=16)
        with Written() as counted:
            compress_items(method, [item], [replace(parts, where=in_squares([parts])[0])])
        written.append(counted.bytes / frames)
    assert written[1] < 1.2 * written[0]


@pytest.mark.parametrize("method", [ApET(keep=4, basis_size=2), DivPrune(keep=4)])
def test_a_batch_waits_for_nothing(method: ApET | DivPrune) -> None:
    given = [video(3), tiles(), video(5, keep=6)]
    items, parts = map(list, zip(*given, strict=True))
    items[0][5, 5], items[2][:12] = torch.inf, 0.0
    with watching() as log:
        found = compress_items(method, to_device(items), parts)
    assert log.waits == []
    assert not log.mismatches
    for one, other in zip(found, compress_items(method, items, parts), strict=True):
        assert torch.equal(to_host(one.indices), other.indices)
        assert torch.equal(to_host(one.rows).nan_to_num(), other.rows.nan_to_num())
