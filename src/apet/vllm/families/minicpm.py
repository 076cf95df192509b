"""MiniCPM-V 4.6 and 4.7: the image, its slices and frames are runs between tokens of their own."""

from __future__ import annotations

from vllm.model_executor.models.minicpmv4_6 import MiniCPMV4_6ForConditionalGeneration
from vllm.model_executor.models.minicpmv4_7 import MiniCPMV4_7ForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.mrope import MropeModel


class _Model(CompressingModel):
    apet_axes = 3
    apet_number = MropeModel.apet_number


@under_compression()
class ApETMiniCPMV46(_Model, MiniCPMV4_6ForConditionalGeneration):
    """MiniCPM-V 4.6 under compression."""


@under_compression()
class ApETMiniCPMV47(_Model, MiniCPMV4_7ForConditionalGeneration):
    """MiniCPM-V 4.7 under compression."""
