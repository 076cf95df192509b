"""Small results to draw."""

from __future__ import annotations

import pytest
import torch

from apet.core import Selection
from apet.hf.clock import Clock
from apet.hf.grid import Grid
from apet.hf.results import ImageResult, StageSelection


@pytest.fixture
def result_of():
    """Makes a result of one stage over a grid."""

    def make(down, across, kept, errors=None, basis=(), slots=None, grids=None, **options):
        tokens = down * across
        stage = StageSelection(
            indices=torch.tensor(kept),
            candidates=torch.arange(tokens),
            assignment=torch.zeros(tokens, dtype=torch.long) if slots is None else torch.tensor(slots),
            errors=torch.zeros(tokens) if errors is None else torch.tensor(errors, dtype=torch.float32),
            basis=torch.tensor(basis, dtype=torch.long),
            tokens=torch.zeros(len(kept), 1),
            clock=Clock(torch.device("cpu")),
        )
        grids = (Grid(down, across),) if grids is None else grids
        defaults = {"row": 0, "stage2": None, "rows": torch.arange(tokens)}
        return ImageResult(tokens=tokens, stage1=stage, grids=grids, **(defaults | options))

    return make


@pytest.fixture
def selection_of():
    """Makes a plain selection of so many tokens that keeps the first few."""

    def make(tokens, kept=2):
        return Selection(
            indices=torch.arange(kept),
            assignment=torch.arange(tokens).clamp(max=kept - 1),
            errors=torch.linspace(0, 1, tokens),
            basis=torch.tensor([0]),
        )

    return make
