"""Kept tokens' own positions in families whose rotary positions have three axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.vllm.compress import Short
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts
from apet.vllm.positions import lengthen
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import from_positions

__all__ = ["MropeModel", "MropeProcessor", "grid_positions"]


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
        if self.apet_profiling or self.apet_method.positions == "contiguous":
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

    apet_axes = 3

    def apet_grid(self, arguments: Mapping[str, Any]) -> list[Tensor]:
        """Every item's tokens' places ``(N, 3)``, counted from the start of their run of placeholders."""
        raise NotImplementedError

    def apet_places(self, arguments: Mapping[str, Any], short: Sequence[Short]) -> list[Tensor]:
        """Those of the kept tokens."""
        grids = self.apet_grid(arguments)
        return [own.to(item.rows.device)[item.indices] for own, item in zip(grids, short, strict=True)]

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Rows and columns of the places."""
        return from_positions(self.apet_grid(arguments))

    def _postprocess_image_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features

    def _postprocess_video_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[Any]
    ) -> tuple[Tensor, int]:
        """As the family numbers the uncompressed prompt, or counted over the short one on all axes alike."""
        if not self.apet_own:
            return torch.arange(len(input_tokens)).repeat(3, 1), 0
        full, index, features = lengthen(input_tokens, mm_features)
        positions, delta = super(CompressingModel, self).get_mrope_input_positions(full, features)  # type: ignore[misc]
        return positions[:, index], delta + len(full) - len(input_tokens)

    def apet_write(
        self, positions: Tensor, offset: int, gone: int, spots: Tensor, inside: Tensor, places: Tensor
    ) -> None:
        """Counts every run of placeholders on from the text before it, which is never written."""
        begins = torch.nn.functional.pad(spots.diff() != 1, (1, 0), value=True)
        run = (begins.long().cumsum(0) - 1)[inside]
        before = (offset + spots[begins] - 1)[run].to(positions.device)
        origin = positions[:, before].amax(dim=0) + 1
        positions[:, (offset + spots[inside]).to(positions.device)] = places.T.to(positions) + origin

    def apet_delta(self, positions: Tensor, gone: int) -> int:
        """A prompt ends in text, so its last token has the highest position."""
        return int(positions[:, -1].max()) + 1 - positions.shape[1]
