"""What prepares the prompts of a family: vLLM's own processor, under compression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.processor import CompressingInfo, CompressingProcessor

_Model = TypeVar("_Model", bound=type)


def under_compression(processor: type = CompressingProcessor) -> Callable[[_Model], _Model]:
    """Registers a model's class with the processor that vLLM's class has, and a mixin before it.

    Args:
        processor: The mixin; it may know which part of an image or video a token belongs to.
    """

    def register(model: _Model) -> _Model:
        theirs = next(base for base in model.__mro__ if base.__module__.startswith("vllm."))
        parts: Any = theirs._processor_factory  # type: ignore[attr-defined]
        put: Any = MULTIMODAL_REGISTRY.register_processor(
            type("Processor", (processor, parts.processor), {"__module__": model.__module__}),
            info=type("Info", (CompressingInfo, parts.info), {"__module__": model.__module__}),
            dummy_inputs=parts.dummy_inputs,
        )
        put(model)
        return model

    return register
