from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def draw():
    """Seeded normal tokens on top of a shared part, as an encoder's are."""

    def make(*shape, seed=0, dtype=torch.float32, shared=1.0):
        generator = torch.Generator().manual_seed(seed)
        common = shared * torch.randn(shape[-1], generator=generator)
        return (torch.randn(*shape, generator=generator) + common).to(dtype)

    return make


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that small inputs cross many block borders."""
    from apet.core import blocks

    monkeypatch.setattr(blocks, "CPU_BYTES", dict.fromkeys(blocks.CPU_BYTES, 4 * 64 * 7))
