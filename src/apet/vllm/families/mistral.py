"""Mistral 3: rows of an image end in tokens of their own, which always stay.

In the prompt they stand among the placeholders. How many tokens of a row are kept is known only behind the
encoder, so the tokens that end rows are placeholders here, too, and their embeddings are features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.mistral3 import Mistral3ForConditionalGeneration
from vllm.multimodal.inputs import MultiModalBatchedField, MultiModalFieldElem
from vllm.multimodal.processing import PromptUpdateDetails
from vllm.multimodal.processing.processor import ResolvedPromptUpdate

from apet.vllm.compress import compress_items
from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import from_newlines

ENDS = "apet_ends"
"""Field of an image: the tokens that end its rows, in order."""


class _Rows(CompressingProcessor):
    def _shorten(self, update: ResolvedPromptUpdate, item: Any, method: Any) -> ResolvedPromptUpdate:
        tokens = torch.tensor(update.content.full)
        embeds = update.content.is_embed(update.content.full)
        field = MultiModalBatchedField(keep_on_cpu=True)
        item[ENDS] = MultiModalFieldElem(tokens.masked_fill(embeds, -1), field)
        whole = update.with_content(PromptUpdateDetails(full=update.content.full))
        return super()._shorten(whole, item, method)

    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        ends: Tensor = item[ENDS].data
        return (ends >= 0).int().neg()


@under_compression(_Rows)
class ApETMistral3(CompressingModel, Mistral3ForConditionalGeneration):
    """Mistral 3 under compression."""

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Rows of tokens."""
        return from_newlines([replace(own, of=2 * own.of + 1) for own in parts])

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """Encodes a batch of images, and puts the ends of their rows between their tokens."""
        ends, parts = kwargs.pop(ENDS, None), Parts.take(kwargs)
        if ends is None or parts is None:
            return super().embed_multimodal(**kwargs)
        features = Mistral3ForConditionalGeneration.embed_multimodal(self, **kwargs)
        items = []
        for rows, own in zip(features, ends, strict=True):
            tokens = own.to(rows.device)
            between = self.get_language_model().embed_input_ids(tokens.clamp(min=0)).to(rows.dtype)
            items.append(between.masked_scatter((tokens < 0).unsqueeze(1), rows))
        short = compress_items(self.apet_method, items, self.apet_told(kwargs, parts))
        return self.apet_finish(short, kwargs)
