"""Which arithmetic to use where, whatever the surroundings ask for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["plain_arithmetic", "wide_dtype"]


def wide_dtype(device: torch.device) -> torch.dtype:
    """Float64, or float32 on devices that have nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def plain_arithmetic(device: torch.device) -> AbstractContextManager[object]:
    """Keeps an enclosing autocast region from turning float32 products into half precision ones."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device_type=device.type, enabled=False)
    return nullcontext()
