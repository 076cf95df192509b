"""What a method is told of the tokens that a model's call brings: where they lie, what the prompt asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.core.segment import Segment
from apet.hf.grid import Grid
from apet.hf.prompt_state import rows_of
from apet.methods import Attention, Context, Decoder, Method, Places


@dataclass(frozen=True)
class Told:
    """What is known about the segments of a call; empty where the method does not ask for it.

    Attributes:
        places: Where the tokens of each lie, on the CPU.
        prompts: The text of the prompt that each stands in, ``(1, T, d)``.
        attention: What attention says about all feature rows of the call, ``(R,)``.
        decoders: What the language model has made of each, in a stage inside it.
    """

    places: Sequence[Places] = ()
    prompts: Sequence[Tensor] = ()
    attention: Attention | None = None
    decoders: Sequence[Decoder] = ()

    def contexts(self, method: Method, where: Sequence[Tensor]) -> list[Context]:
        """One context per segment, its tokens at the rows ``where``; none if the method asks for none."""
        if not method.needs:
            return []
        places: Sequence[Places | None] = _moved(self.places, where) if self.places else [None] * len(where)
        prompts: Sequence[Tensor | None] = self.prompts or [None] * len(where)
        decoders: Sequence[Decoder | None] = self.decoders or [None] * len(where)
        return [
            Context(place, prompt, _of(self.attention, own), decoder)
            for place, prompt, own, decoder in zip(places, prompts, where, decoders, strict=True)
        ]


def places_of(segment: Segment, grids: Sequence[Grid], among: Tensor | None = None) -> Places:
    """Where a segment's tokens lie: ``index (1, N, 3)``, on the CPU or where ``among`` is.

    Rows and columns are counted from the segment's own first ones, so a tile begins at 0 wherever it lies.

    Args:
        segment: The segment.
        grids: Those of its image or video.
        among: The tokens that are left of it, ``(C,)``; None for all.
    """
    rows = rows_of(segment)
    index = torch.full((len(rows), 3), -1, dtype=torch.int64, device="cpu")
    extents: list[tuple[int, int]] = []
    for grid in grids:
        stride = grid.stride or grid.columns
        down, right = (rows - grid.first).div(stride, rounding_mode="floor"), (rows - grid.first) % stride
        inside = (down >= 0) & (down < grid.rows) & (right < grid.columns)
        if not bool(inside.any()):
            continue
        index_inside = torch.stack((torch.full_like(down, len(extents)), down, right), dim=1)[inside]
        index_inside[:, 1:] -= index_inside[:, 1:].amin(dim=0)
        index[inside] = index_inside
        height, width = index_inside[:, 1:].amax(dim=0).tolist()
        extents.append((height + 1, width + 1))
    if bool((index < 0).any()):
        raise no_grid("forward", f"{segment.modality} tokens that lie in no grid")
    if among is not None:
        index = index.to(among.device)[among]
    return Places(index[None], tuple(extents), video=segment.modality == "video")


def no_grid(operation: str, got: str) -> ApETError:
    """The error for a method that is told the places of tokens, where nothing tells them."""
    return ApETError(
        operation,
        got,
        "a family that tells where its tokens lie, or a method without places, as Spread(place=0)",
    )


def _moved(places: Sequence[Places], where: Sequence[Tensor]) -> list[Places]:
    """The same on the device of the tokens, by one copy."""
    flat = torch.cat([place.index[0] for place in places]).to(where[0].device)
    split = flat.split([place.index.shape[1] for place in places])
    pairs = zip(places, split, strict=True)
    return [Places(index[None], place.extents, place.video) for place, index in pairs]


def _of(attention: Attention | None, where: Tensor) -> Attention | None:
    """What attention says about the tokens of a segment."""
    if attention is None:
        return None
    parts = (attention.received, attention.keys, attention.middle)
    return Attention(*(None if part is None else part[where][None] for part in parts))  # type: ignore[arg-type]
