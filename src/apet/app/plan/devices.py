"""Figures of devices, from their vendors' datasheets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEVICES", "Device"]


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
    "a100": Device(
        "NVIDIA A100 80GB SXM, bfloat16",
        312e12,
        2.039e12,
        80e9,
        2,
        "NVIDIA A100 Tensor Core GPU datasheet: 80 GB, 2,039 GB/s, bfloat16 312 TFLOPS dense",
    ),
    "l4": Device(
        "NVIDIA L4, bfloat16",
        121e12,
        300e9,
        24e9,
        2,
        "NVIDIA L4 Tensor Core GPU datasheet: 24 GB, 300 GB/s; bfloat16 242 TFLOPS with sparsity, half dense",
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
