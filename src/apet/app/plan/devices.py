"""Figures of devices, from their vendors' datasheets, and of the machine at hand, as measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """What a roofline needs to know.

    Attributes:
        title: The device in words.
        flops: Dense arithmetic in FLOP/s at ``itemsize``.
        bandwidth: Memory bandwidth in bytes/s.
        memory: Bytes of memory.
        itemsize: Bytes of one weight or cache entry: 2 for bfloat16, 4 for float32.
        source: Where the figures are from.
    """

    title: str
    flops: float
    bandwidth: float
    memory: float
    itemsize: int
    source: str


DEVICES = {
    "h200": Device(
        "NVIDIA H200 SXM, bfloat16",
        989e12,
        4.8e12,
        141e9,
        2,
        "NVIDIA H200 Tensor Core GPU datasheet: 141 GB, 4.8 TB/s; bfloat16 1,979 TFLOPS sparse, half dense",
    ),
    "b200": Device(
        "NVIDIA B200 SXM, bfloat16",
        2250e12,
        8e12,
        180e9,
        2,
        "NVIDIA DGX B200 datasheet, an eighth of it: 1,440 GB, 64 TB/s; HGX B200: bfloat16 36 PFLOPS sparse, "
        "half dense",
    ),
    "h100": Device(
        "NVIDIA H100 SXM, bfloat16",
        989e12,
        3.35e12,
        80e9,
        2,
        "NVIDIA H100 Tensor Core GPU datasheet: 80 GB, 3.35 TB/s; bfloat16 1,979 TFLOPS sparse, half dense",
    ),
    "a100": Device(
        "NVIDIA A100 80GB SXM, bfloat16",
        312e12,
        2.039e12,
        80e9,
        2,
        "NVIDIA A100 Tensor Core GPU datasheet: 80 GB, 2,039 GB/s, bfloat16 312 TFLOPS dense",
    ),
    "l40s": Device(
        "NVIDIA L40S, bfloat16",
        362e12,
        864e9,
        48e9,
        2,
        "NVIDIA L40S datasheet: 48 GB, 864 GB/s, bfloat16 362 TFLOPS dense",
    ),
    "l4": Device(
        "NVIDIA L4, bfloat16",
        121e12,
        300e9,
        24e9,
        2,
        "NVIDIA L4 Tensor Core GPU datasheet: 24 GB, 300 GB/s; bfloat16 242 TFLOPS with sparsity, half dense",
    ),
    "rtx-4090": Device(
        "NVIDIA GeForce RTX 4090, bfloat16",
        165.2e12,
        1008e9,
        24e9,
        2,
        "NVIDIA Ada GPU architecture whitepaper: 24 GB, 1,008 GB/s, bfloat16 with float32 sums 165.2 TFLOPS "
        "dense",
    ),
    "cpu": Device(
        "one Intel Xeon Platinum 8480+ (56 cores), float32",
        56 * 2.0e9 * 64,
        307.2e9,
        256e9,
        4,
        "Intel ARK: 56 cores at 2.0 GHz base, two AVX-512 units (64 float32 operations a cycle and core), "
        "8 channels of DDR5-4800; 256 GB assumed",
    ),
}
"""By the name that ``--device`` takes."""


def spelled(name: str) -> str:
    """A device's name as it stands in `DEVICES`, however it is written: ``RTX 4090``, ``rtx4090``."""
    bare = name.lower().replace(" ", "").replace("-", "")
    return next((device for device in DEVICES if device.replace("-", "") == bare), name)


@cache
def measured(device: torch.device, dtype: torch.dtype) -> Device:
    """Measures a square matrix product and a copy, both larger than the caches; once, in a second or two."""
    import torch

    from apet.app.bench.timing import copy_rate, milliseconds
    from apet.evaluation.machine import machine

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


def here() -> Device:
    """The machine's GPU in bfloat16, or its processor in float32, as `measured`."""
    import torch

    if torch.cuda.is_available():
        return measured(torch.device("cuda"), torch.bfloat16)
    return measured(torch.device("cpu"), torch.float32)
