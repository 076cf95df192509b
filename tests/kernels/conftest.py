from __future__ import annotations

import os

import pytest
import torch
from kernel_oracle import DEVICE

from apet.core.dispatch import VARIABLE

# The core's products on a GPU, which the kernels are compared with, want it under deterministic algorithms.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(autouse=True)
def _poisoned_memory():
    """Memory that nothing has written holds NaN or the largest integer."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def _kernels_on(monkeypatch):
    monkeypatch.setenv(VARIABLE, "on")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of which small inputs need several; in the interpreter time is programs, so not too many."""
    from apet.kernels import calls, launch

    def use(**sizes):
        chosen = {
            "stream": (32, 32, 4),
            "residual": (32, 32, 4),
            "assign": (32, 16, 32, 4),
            "mean": (16, 32, 4),
            "span": (32, 4),
        }
        monkeypatch.setattr(calls, "Tiles", lambda: launch.Tiles(**{**chosen, **sizes}))

    if DEVICE == "cpu":
        use()
    return use


@pytest.fixture
def draw():
    """Seeded normal tokens on top of a shared part, as an encoder's are."""

    def make(*shape, seed=0, dtype=torch.float32, shared=1.0):
        generator = torch.Generator().manual_seed(seed)
        common = shared * torch.randn(shape[-1], generator=generator)
        return (torch.randn(*shape, generator=generator) + common).to(DEVICE, dtype)

    return make
