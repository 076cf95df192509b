"""Kept tokens' own rotary positions, for families whose positions have three axes.

Which tokens are kept is known only behind the encoder, long after the engine has numbered the prompt. The
model therefore appends every kept token's place to its features, as the engine's own video pruning does, and
the engine hands the features back for the positions to be written before they are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from vllm.multimodal.inputs import PlaceholderRange

from apet.core.errors import ApETError
from apet.vllm.compress import Short
from apet.vllm.cpu_runner import strip_positions_on_cpu
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, parts_in
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import from_positions

__all__ = ["MropeModel", "MropeProcessor", "grid_positions", "pack_positions", "unpack_positions"]

CHANNELS = 6
"""Appended to every feature: three axes of two digits. Every digit to 255 is exact in bfloat16."""
_BASE = 256


def pack_positions(positions: Tensor, dtype: torch.dtype) -> Tensor:
    """Positions ``(K, 3)`` below 65,536 as channels ``(K, 6)``."""
    digits = torch.stack((positions // _BASE, positions % _BASE), dim=-1)
    return digits.reshape(len(positions), CHANNELS).to(dtype)


def unpack_positions(channels: Tensor) -> Tensor:
    """The inverse of `pack_positions`, int64."""
    digits = channels.long().view(len(channels), 3, 2)
    return digits[..., 0] * _BASE + digits[..., 1]


def grid_positions(frames: int, rows: int, columns: int, step: float = 1.0) -> Tensor:
    """Places ``(frames * rows * columns, 3)`` in a grid, frames ``step`` apart and rounded down."""
    grid = torch.cartesian_prod(torch.arange(frames), torch.arange(rows), torch.arange(columns))
    grid = grid.view(-1, 3)
    if step != 1.0:
        grid[:, 0] = (grid[:, 0].double() * step).long()
    return grid


class MropeProcessor(CompressingProcessor):
    """Refuses prompts whose positions could not be told from the tokens around an image."""

    apet_profiling = False

    def get_dummy_mm_inputs(self, *args: Any, **kwargs: Any) -> Any:
        """The engine's own largest images, which stand without text."""
        self.apet_profiling = True
        try:
            return super().get_dummy_mm_inputs(*args, **kwargs)
        finally:
            self.apet_profiling = False

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Processes a prompt.

        Raises:
            ApETError: If an image or video does not stand between two text tokens.
        """
        result = super().apply(*args, **kwargs)
        if self.apet_profiling:
            return result
        places = sorted(
            (place for of_modality in result["mm_placeholders"].values() for place in of_modality),
            key=lambda place: place.offset,
        )
        end = 0
        for place in places:
            if place.offset == end:
                raise ApETError(
                    "apet.vllm", "an image without a token before it", "one, as chat templates have"
                )
            end = place.offset + place.length
        if places and end == len(result["prompt_token_ids"]):
            raise ApETError("apet.vllm", "a prompt that ends in an image", "text behind it")
        return result


class MropeModel(CompressingModel):
    """Mixed into a family's model whose positions have three axes."""

    supports_multimodal_pruning = True

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        # The engine asks for positions where its own pruning is on. Its setting would also prune, so only the
        # answer of this one config is changed.
        vllm_config.model_config.multimodal_config.is_multimodal_pruning_enabled = _yes
        strip_positions_on_cpu()
        super().__init__(vllm_config=vllm_config, prefix=prefix)

    def apet_places(self, arguments: Mapping[str, Any]) -> list[Tensor]:
        """Every item's tokens' places ``(N, 3)``, counted from the start of their run of placeholders."""
        raise NotImplementedError

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Rows and columns of the places."""
        return from_positions(self.apet_places(arguments))

    def apet_finish(self, short: list[Short], arguments: dict[str, Any]) -> tuple[Tensor, ...]:
        """Appends the places of the kept tokens."""
        return tuple(
            torch.cat(
                (item.rows, pack_positions(places.to(item.rows.device)[item.indices], item.rows.dtype)), 1
            )
            for item, places in zip(short, self.apet_places(arguments), strict=True)
        )

    def _postprocess_image_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features

    def _postprocess_video_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[Any]
    ) -> tuple[Tensor, int]:
        """Numbers the uncompressed prompt; each part's tokens get the place of its first one for now."""
        full, index, features = _lengthen(input_tokens, mm_features)
        positions, delta = super().get_mrope_input_positions(full, features)  # type: ignore[misc]
        return positions[:, index], delta + len(full) - len(input_tokens)

    def recompute_mrope_positions(
        self,
        input_ids: Any,
        multimodal_embeddings: Sequence[Tensor],
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[Sequence[Tensor], Tensor, int]:
        """Writes the positions of the kept tokens of a chunk, and takes their channels off.

        Nothing but those positions is written, and they depend on the text before an image alone: a chunk may
        be run again, and any other may come from the prefix cache.
        """
        if len(multimodal_embeddings):
            tokens = torch.as_tensor(input_ids, device=mrope_positions.device)
            config: Any = self.config  # type: ignore[attr-defined]
            visual = (tokens == config.image_token_id) | (tokens == config.video_token_id)
            places = torch.cat([unpack_positions(item[:, -CHANNELS:]) for item in multimodal_embeddings])
            mrope_positions = _write(mrope_positions, visual, places.to(tokens.device), num_computed_tokens)
            multimodal_embeddings = [item[:, :-CHANNELS] for item in multimodal_embeddings]
        return (
            multimodal_embeddings,
            mrope_positions,
            int(mrope_positions.max()) + 1 - mrope_positions.shape[1],
        )


def _yes() -> bool:
    return True


def _write(positions: Tensor, visual: Tensor, places: Tensor, start: int) -> Tensor:
    """Positions with those of a chunk's visual tokens, the first ones at or behind ``start``, written."""
    where = visual.nonzero()[:, 0]
    where = where[where >= start][: len(places)]
    previous = torch.nn.functional.pad(visual[:-1], (1, 0))
    begins = (visual & ~previous).nonzero()[:, 0]
    own = begins[torch.searchsorted(begins, where, right=True) - 1]
    origin = positions[:, (own - 1).clamp(min=0)].amax(dim=0) + 1
    written = positions.clone()
    written[:, where] = (places.T + origin).to(positions.dtype)
    return written


def _lengthen(tokens: list[int], features: list[Any]) -> tuple[list[int], Tensor, list[Any]]:
    """The prompt as it was before compression.

    Returns:
        Its tokens; for each token of the short prompt the number of a token in it; and the images and videos
        at their places in it.
    """
    full: list[int] = []
    index: list[int] = []
    moved = []
    done = 0
    for feature in sorted(features, key=lambda feature: feature.mm_position.offset):
        place = feature.mm_position
        index += range(len(full), len(full) + place.offset - done)
        full += tokens[done : place.offset]
        begin, done = len(full), place.offset + place.length
        own = tokens[place.offset : done]
        parts = parts_in(feature.data)
        embeds = [True] * len(own) if place.is_embed is None else place.is_embed.tolist()
        if parts is None:
            index += range(begin, begin + len(own))
            full += own
        else:
            sizes = torch.bincount(parts.of.long()).tolist()
            labels = iter(parts.of[parts.leading()].tolist())
            first: dict[int, int] = {}
            for token, embed in zip(own, embeds, strict=True):
                label = next(labels) if embed else None
                if label is None:
                    index.append(len(full))
                    full.append(token)
                    continue
                if label not in first:
                    first[label] = len(full)
                    full += [token] * sizes[label]
                index.append(first[label])
        moved.append(replace(feature, mm_position=PlaceholderRange(offset=begin, length=len(full) - begin)))
    index += range(len(full), len(full) + len(tokens) - done)
    full += tokens[done:]
    return full, torch.tensor(index), moved
