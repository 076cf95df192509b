"""PaddleOCR-VL: images of many sizes."""

from __future__ import annotations

from vllm.model_executor.models.paddleocr_vl import PaddleOCRVLForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.mrope import MropeModel


@under_compression()
class ApETPaddleOCRVL(MropeModel, PaddleOCRVLForConditionalGeneration):
    """PaddleOCR-VL under compression."""
