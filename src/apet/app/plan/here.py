"""The machine at hand, as a roofline sees it: what it was measured to do."""

from __future__ import annotations

import os
from functools import cache

import torch

from apet.app.bench.timing import copy_rate, milliseconds
from apet.app.plan.devices import Device
from apet.evaluation.machine import machine


@cache
def measured(device: torch.device, dtype: torch.dtype) -> Device:
    """Measures a square matrix product and a copy, both larger than the caches; once, in a second or two."""
    side = 8192 if device.type == "cuda" else 1536
    a = torch.randn(side, side, device=device, dtype=dtype)
    b, out = torch.randn_like(a), torch.empty_like(a)
    with torch.inference_mode():
        times = [milliseconds(lambda: torch.mm(a, b, out=out), device) for _ in range(6)]
    about = machine(device)
    if device.type == "cuda":
        title, memory = str(about["gpu"]), float(torch.cuda.get_device_properties(device).total_memory)
    else:
        title = f"{about['threads']} threads of {about['cpu']}"
        memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Device(
        f"{title}, {str(dtype).removeprefix('torch.')}",
        2e3 * side**3 / min(times),
        1e3 * copy_rate(device),
        memory,
        dtype.itemsize,
        f"measured: the fastest of 6 products of {side} x {side} matrices, and of 5 copies",
    )
