"""What every family needs besides its model: vLLM's own processor, compressing, and names of weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.processor import CompressingInfo, CompressingProcessor

_Model = TypeVar("_Model", bound=type)
EITHER_NAME = WeightsMapper(
    orig_to_new_regex={
        re.compile(r"^(model\.)?vision_tower\.(?!vision_model\.)"): "vision_tower.vision_model."
    }
)
"""Lets a model load an encoder that transformers 5 saved, under a shorter name that vLLM does not know."""


def under_compression(
    processor: type = CompressingProcessor, *, either_name: bool = False
) -> Callable[[_Model], _Model]:
    """Registers a model's class with the processor that vLLM's class has, and mixins before it.

    Args:
        processor: The processor's mixin; it may know which part of an image or video a token belongs to.
        either_name: Whether weights may be saved as ``vision_tower`` or as ``vision_tower.vision_model``.
    """

    def register(model: _Model) -> _Model:
        theirs: Any = next(base for base in model.__mro__ if base.__module__.startswith("vllm."))
        if either_name:
            model.hf_to_vllm_mapper = theirs.hf_to_vllm_mapper | EITHER_NAME  # type: ignore[attr-defined]
        parts = theirs._processor_factory
        put: Any = MULTIMODAL_REGISTRY.register_processor(
            type("Processor", (processor, parts.processor), {"__module__": model.__module__}),
            info=type("Info", (CompressingInfo, parts.info), {"__module__": model.__module__}),
            dummy_inputs=parts.dummy_inputs,
        )
        put(model)
        return model

    return register
