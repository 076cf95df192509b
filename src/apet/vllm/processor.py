"""The processor's side: fewer placeholders in the prompt, and a hash that tells budgets apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from vllm.multimodal.inputs import MultiModalBatchedField, MultiModalFieldElem
from vllm.multimodal.parse import DictEmbeddingItems, EmbeddingItems
from vllm.multimodal.processing import BaseMultiModalProcessor, PromptUpdateDetails
from vllm.multimodal.processing.processor import ResolvedPromptUpdate

from apet.core.errors import ApETError
from apet.vllm.counts import count_in
from apet.vllm.parts import KEPT, PARTS, WEIGHT, plan, run_numbers
from apet.vllm.settings import REQUEST, method_of_request, server_method, without_ours

_VISUAL = ("image", "video")
METHOD_VERSION = 2
"""Counted up whenever the same settings give other tokens, so that no cache mixes the two."""


@dataclass
class _Shortened(PromptUpdateDetails):
    """An item's placeholders, which caches keep with how many there were.

    Attributes:
        before: Visual tokens before compression.
    """

    before: int = 0


class CompressingInfo:
    """Mixed into a family's processing info."""

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int] | None:
        """Has vLLM process the largest images and count: a formula would count before compression."""
        return None


class CompressingProcessor(BaseMultiModalProcessor[Any]):
    """Mixed into a family's processor: every image's placeholders become as many as it keeps.

    The family's own updates of the prompt are made first and are shortened then, so this side knows nothing
    of any family but `parts_of`. Items that hold features already are the caller's, and stay as they are.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.apet_method = server_method(self.info.get_hf_config())
        options = self.info.ctx.get_mm_config().mm_processor_kwargs or {}
        if REQUEST in options:
            raise ApETError(
                "--mm-processor-kwargs",
                f"{REQUEST}={options[REQUEST]!r}",
                'the server\'s own budget as "apet": {"keep": ..} in --hf-overrides',
            )

    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        """Which part each of an image's or video's visual tokens belongs to: its run, unless overridden.

        Args:
            modality: ``"image"`` or ``"video"``.
            item: The processed fields of the item.
            runs: ``(N,)`` int64, for each visual token the number of the run of placeholders it stands in.

        Returns:
            ``(N,)`` part numbers, -1 for tokens that always stay.
        """
        return runs

    def _get_mm_hashes(self, inputs: Any) -> Any:
        options = inputs.hf_processor_mm_kwargs
        settings = f"{METHOD_VERSION} {method_of_request(self.apet_method, options)!r}"
        return super()._get_mm_hashes(
            replace(inputs, hf_processor_mm_kwargs=without_ours(options) | {REQUEST: settings})
        )

    def _cached_apply_hf_processor(self, inputs: Any, timing_ctx: Any) -> Any:
        """Tells the server, if it asks, how many tokens the request's items have, from caches or not."""
        processed = super()._cached_apply_hf_processor(inputs, timing_ctx)
        count = count_in(inputs.hf_processor_mm_kwargs)
        if count is not None:
            for modality in _VISUAL:
                for first, *_ in processed.prompt_updates.get(modality, ()):
                    after = _embeds(first.content)
                    count.add(modality, getattr(first.content, "before", after), after)
        return processed

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, object]) -> Any:
        return super()._apply_hf_processor_main(mm_items, without_ours(hf_kwargs))

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]) -> Any:
        return super()._get_mm_fields_config(hf_inputs, without_ours(hf_processor_mm_kwargs))

    def _get_mm_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Any:
        method = method_of_request(self.apet_method, hf_processor_mm_kwargs)
        all_updates = super()._get_mm_prompt_updates(
            mm_items, without_ours(hf_processor_mm_kwargs), out_mm_kwargs
        )
        short = {}
        for modality, updates in all_updates.items():
            given_items = mm_items.get(modality)
            if modality not in _VISUAL or isinstance(given_items, EmbeddingItems | DictEmbeddingItems):
                short[modality] = updates
                continue
            short[modality] = [
                [self._shorten(update, out_mm_kwargs[modality][number], method) for update in of_item]
                for number, of_item in enumerate(updates)
            ]
        return short

    def _shorten(self, update: ResolvedPromptUpdate, item: Any, method: Any) -> ResolvedPromptUpdate:
        """Shortens the content of an update, and puts what was decided into the item."""
        full, is_embed = update.content.full, update.content.is_embed
        stays = torch.ones(len(full), dtype=torch.bool)
        embeds = stays if is_embed is None else is_embed(full)
        runs = run_numbers(embeds)
        if method.unit == "whole" and bool(runs.any()):
            raise ApETError(
                "apet.vllm", f"unit='whole' for a {update.modality} with text inside", "unit='part'"
            )
        parts = plan(self.parts_of(update.modality, item, runs), method, self.apet_method)
        stays = stays.masked_scatter(embeds, parts.leading())
        short = [token for token, stay in zip(full, stays.tolist(), strict=True) if stay]
        content = _Shortened(full=short, is_embed=is_embed, before=len(runs))
        kept = _embeds(content)
        if kept != parts.total:
            raise ApETError("apet.vllm", f"{kept} placeholders of {update.modality}", f"{parts.total}")
        field = MultiModalBatchedField(keep_on_cpu=True)
        for name, value in ((PARTS, parts.of), (KEPT, parts.kept), (WEIGHT, torch.tensor(parts.weight))):
            item[name] = MultiModalFieldElem(value, field)
        return update.with_content(content)


def _embeds(content: PromptUpdateDetails) -> int:
    """Placeholders among the tokens."""
    return len(content.full) if content.is_embed is None else int(content.is_embed(content.full).sum())
