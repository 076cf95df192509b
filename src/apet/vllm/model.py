"""The model's side: fewer features of every image and video, and their positions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.vllm.compress import Short, compress_items
from apet.vllm.parts import PARTS, WEIGHT, Parts
from apet.vllm.positions import number_prompt, pack, write_chunk
from apet.vllm.runner import patch_runners
from apet.vllm.settings import server_method
from apet.vllm.stages import Stages


class CompressingModel(Stages):
    """Mixed into a family's model, before vLLM's class.

    Attributes:
        apet_axes: Axes of a rotary position.
        apet_windows: For each request whose positions the engine asks for next, its images and videos and the
            chunk of its prompt; see `apet.vllm.runner`.
    """

    supports_mrope = True  # what this asks of a model is there; whether it is used, the config says
    supports_multimodal_pruning = True
    apet_axes = 1
    apet_windows: Iterator[tuple[list[Any], int, int]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Takes the name of vLLM's class, which vLLM looks some things up by."""
        super().__init_subclass__(**options)
        theirs = [base for base in cls.__mro__ if base.__module__.startswith("vllm.")]
        if theirs:
            cls.__name__ = theirs[0].__name__

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        method = server_method(vllm_config.model_config.hf_config)
        scheduler = vllm_config.scheduler_config
        patch_runners(min(scheduler.max_num_encoder_input_tokens, scheduler.encoder_cache_size))
        own = method.positions == "own"
        if own:
            # The engine asks for positions where its own pruning is on. Its setting would also prune, so only
            # the answer of this one config is changed.
            vllm_config.model_config.multimodal_config.is_multimodal_pruning_enabled = _yes
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.apet_config = vllm_config.model_config
        self.apet_method, self.apet_own, self.is_multimodal_pruning_enabled = method, own, own
        if "places" in method.needs and type(self).apet_where is CompressingModel.apet_where:
            got = f"{type(method).__name__} for {type(self).__name__}, which tells no places"
            raise ApETError("apet.vllm", got, "a method that decides by the visual tokens alone")

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Row and column ``(N, 2)`` of every item's tokens, on the CPU, for a method that asks for places.

        Args:
            arguments: The encoder's arguments.
            parts: What was decided for every item.
        """
        raise NotImplementedError

    def apet_told(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> Sequence[Parts]:
        """The parts with the same if the method asks for it."""
        if "places" not in self.apet_method.needs:
            return parts
        where = self.apet_where(arguments, parts)
        return [replace(own, where=places) for own, places in zip(parts, where, strict=True)]

    def apet_channels(self) -> slice:
        """Channels of the features that the decision looks at."""
        return slice(None)

    def apet_finish(self, short: list[Short], arguments: dict[str, Any]) -> tuple[Tensor, ...]:
        """The features as they are handed to the engine: with the places of the kept tokens, if wanted."""
        if not self.apet_own:
            return tuple(item.rows for item in short)
        return tuple(torch.cat((item.rows, pack(item.indices, item.rows.dtype)), 1) for item in short)

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """Encodes a batch of images or videos, and compresses what comes out."""
        parts = Parts.take(kwargs)
        features = super().embed_multimodal(**kwargs)  # type: ignore[misc]
        items = [item.reshape(-1, item.shape[-1]) for item in features]
        if parts is None:  # features that the caller computed
            parts = [Parts.everything(len(item)) for item in items]
        told = self.apet_told(kwargs, parts)
        return self.apet_finish(compress_items(self.apet_method, items, told, self.apet_channels()), kwargs)

    def apet_number(self, tokens: list[int], features: list[Any]) -> tuple[Tensor, int]:
        """Positions ``(3, L)`` of an uncompressed prompt, and by how much those behind it run ahead."""
        return torch.arange(len(tokens)).expand(3, -1), 0

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[Any]
    ) -> tuple[Tensor, int]:
        """Numbers a prompt, for now without knowing which tokens of an image were kept."""
        if not self.apet_own:
            return torch.arange(len(input_tokens)).repeat(3, 1), 0
        return number_prompt(input_tokens, mm_features, self.apet_number)

    def recompute_mrope_positions(
        self,
        input_ids: Any,
        multimodal_embeddings: Sequence[Tensor],
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[Sequence[Tensor], Tensor, int]:
        """Writes the positions of the kept tokens of a chunk, and takes their channels off."""
        features, start, end = next(self.apet_windows)
        rows, delta = write_chunk(mrope_positions, features, list(multimodal_embeddings), start, end)
        return rows, mrope_positions, delta

    def get_mm_lora_token_counts(
        self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int
    ) -> tuple[int, int | None]:
        """Tokens in the encoder and the projector, told those before compression."""
        if mm_kwargs is None:
            whole = num_mm_embeds * self.apet_ratio(modality)
        else:
            whole = len(mm_kwargs[PARTS].data) if PARTS in mm_kwargs else num_mm_embeds
        found: tuple[int, int | None] = super().get_mm_lora_token_counts(  # type: ignore[misc]
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=whole
        )
        return found

    def apet_ratio(self, modality: str) -> int:
        """How many times as many tokens an encoder batch may have as the engine counts, at most."""
        from vllm.multimodal import MULTIMODAL_REGISTRY

        processor = MULTIMODAL_REGISTRY.create_processor(self.apet_config)
        (item,) = processor.get_dummy_mm_inputs({modality: 1})["mm_kwargs"][modality]
        # Twice that of the largest, since shares of small ones are rounded.
        return 2 * math.ceil(len(item[PARTS].data) / int(item[WEIGHT].data))

    def get_encoder_cudagraph_config(self) -> Any:
        """No CUDA graphs of the encoder: they replay it without `embed_multimodal`."""
        return replace(super().get_encoder_cudagraph_config(), modalities=[])  # type: ignore[misc]


def _yes() -> bool:
    return True
