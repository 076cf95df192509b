"""GLM-4.1V, GLM-4.5V and GLM-OCR: every frame of a video is a run of its own, behind its time."""

from __future__ import annotations

from vllm.model_executor.models.glm4_1v import Glm4vForConditionalGeneration, Glm4vMoeForConditionalGeneration
from vllm.model_executor.models.glm_ocr import GlmOcrForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.mrope import MropeModel


@under_compression()
class ApETGlm4v(MropeModel, Glm4vForConditionalGeneration):
    """GLM-4.1V under compression."""


@under_compression()
class ApETGlm4vMoe(MropeModel, Glm4vMoeForConditionalGeneration):
    """GLM-4.5V under compression."""


@under_compression()
class ApETGlmOcr(MropeModel, GlmOcrForConditionalGeneration):
    """GLM-OCR under compression."""
