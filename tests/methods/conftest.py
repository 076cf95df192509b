from __future__ import annotations

import pytest
import torch
from method_table import CONFIGURATIONS


@pytest.fixture(params=CONFIGURATIONS)
def build(request):
    """Builds one kind of method from a budget and the shared fields."""
    return CONFIGURATIONS[request.param]


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 40, 16, generator=generator)
