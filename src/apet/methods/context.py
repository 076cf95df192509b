"""What a method may be told besides the visual tokens, where it asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from apet.core.errors import ApETError

_BY_APPLY = "apet.apply finds it in calls of a model with pixels and input_ids"
NEEDS = ("places", "prompt", "attention", "decoder")
"""What a method can ask for in ``Method.needs``: the names of `Context`'s fields."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the tokens of each image of a batch lie.

    Attributes:
        index: ``(B, N, 3)`` int64: of every token the number of its grid, its row and its column there, from
            0, in patches (merged ones, where the model merges them).
        extents: Rows and columns of every grid, ``((rows, columns), ..)``, alike for all images of the batch.
            An image, a tile or a frame is one grid. With ``unit="whole"`` a video has one for each frame, and
            a tiled image one for the overview and one for all tiles together.
        video: Whether the grids are frames, in the order of time. Some models merge frames: such a group
            counts as one.
    """

    index: Tensor
    extents: tuple[tuple[int, int], ...]
    video: bool = False

    @property
    def frames(self) -> int:
        """Frames of the video; 1 for an image, a tile or a frame."""
        return len(self.extents) if self.video else 1

    def clip(self, name: str) -> tuple[int, int, int]:
        """Frames, rows and columns of a video whose frames are all there and of one size.

        Args:
            name: The method, for the error.

        Raises:
            ApETError: If it is no such video.
        """
        rows, columns = self.extents[0]
        whole = len(set(self.extents)) == 1 and self.index.shape[1] == self.frames * rows * columns
        if not self.video or not whole:
            got = "an image" if not self.video else "a part of a video, or frames of several sizes"
            raise ApETError(name, got, "a whole video (unit='whole') in stage 1")
        return self.frames, rows, columns

    @classmethod
    def raster(
        cls, rows: int, columns: int, *, frames: int = 1, batch: int = 1, device: torch.device | None = None
    ) -> Places:
        """Places of images (or of videos) whose tokens come row by row, frame by frame.

        Args:
            rows: Rows of an image or a frame.
            columns: Columns of an image or a frame.
            frames: Frames; more than one make a video.
            batch: Images in the batch.
            device: Where to put them; None: the CPU.

        Example:
            >>> Places.raster(2, 3).index[0, :, 1].tolist()
            [0, 0, 0, 1, 1, 1]
        """
        sides = (torch.arange(side, device=device or "cpu") for side in (frames, rows, columns))
        index = torch.cartesian_prod(*sides).view(-1, 3)
        return cls(index.expand(batch, -1, -1), ((rows, columns),) * frames, video=frames > 1)


@dataclass(frozen=True, eq=False)
class Attention:
    """What attention says about the tokens of each image of a batch.

    Attributes:
        received: ``(B, N)``, the attention weight that each token receives, averaged over the heads.
        keys: ``(B, N, k)``, the tokens' keys averaged over the heads, or None where none were read.
        middle: ``(B, N)``, the weight that each token receives in an encoder layer further down, for a method
            that compares two layers.
    """

    received: Tensor
    keys: Tensor | None = None
    middle: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Decoder:
    """What the decoder layer before a stage made of the tokens of each image, and of the text behind it.

    Attributes:
        states: ``(B, N, d)``, hidden states of the tokens, through the language model's last norm.
        norms: ``(B, N)``, the L1 norms of the tokens' keys over all heads, rotary positions included.
        text_states: ``(B, T, d)``, states of the text behind the image.
        text_norms: ``(B, T)``, its norms.
    """

    states: Tensor
    norms: Tensor
    text_states: Tensor
    text_norms: Tensor


@dataclass(frozen=True, eq=False)
class Context:
    """What is known about the images of a batch besides their tokens; None where nobody asked for it.

    Attributes:
        places: Where the tokens lie.
        prompt: ``(B, T, d)``, the text of the prompt, in the space of the tokens: in stage 1 its embeddings,
            inside the language model its hidden states. Visual tokens and padding are not among it.
        attention: Attention weights.
        decoder: What the language model has made of tokens and text, in a stage inside it.
    """

    places: Places | None = None
    prompt: Tensor | None = None
    attention: Attention | None = None
    decoder: Decoder | None = None

    @property
    def kind(self) -> Hashable:
        """What has to be equal for images to stand in one batch: their grids, the length of their prompts."""
        places, prompt, decoder = self.places, self.prompt, self.decoder
        return (
            None if places is None else (places.extents, places.video),
            None if prompt is None else prompt.shape[1],
            None if decoder is None else decoder.text_norms.shape[1],
        )

    @staticmethod
    def stack(parts: Sequence[Context]) -> Context:
        """Puts batches of one `kind` side by side."""
        first = parts[0]
        if len(parts) == 1:
            return first
        places, prompt = first.places, first.prompt
        if places is not None:
            index = torch.cat([part.places.index for part in parts if part.places is not None])
            places = replace(places, index=index)
        if prompt is not None:
            prompt = torch.cat([part.prompt for part in parts if part.prompt is not None])
        attention = _joined(Attention, [part.attention for part in parts])
        return Context(places, prompt, attention, _joined(Decoder, [part.decoder for part in parts]))


_Part = TypeVar("_Part", Attention, Decoder)


def _joined(kind: Callable[..., _Part], parts: Sequence[_Part | None]) -> _Part | None:
    """The tensors of several images side by side; None where there are none."""
    if parts[0] is None:
        return None
    joined: dict[str, Tensor | None] = {}
    for field in fields(parts[0]):
        each = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if each[0] is None else torch.cat(each)
    return kind(**joined)


def complete(context: Context | None, needs: frozenset[str], tokens: Tensor, name: str) -> Context:
    """What a method asks for, checked against its tokens.

    Tokens that come with no context at all lie in a square, row by row, if they are as many as one has.

    Args:
        context: What was given.
        needs: Names out of `NEEDS`.
        tokens: ``(B, N, d)``.
        name: The method, for the error.
    """
    batch, total, width = tokens.shape
    if context is not None and not isinstance(context, Context):
        kinds = (("places", Places), ("prompt", Tensor), ("attention", Attention), ("decoder", Decoder))
        field = next((field for field, kind in kinds if isinstance(context, kind)), "..")
        raise ApETError(name, f"context of type {type(context).__name__}", f"a Context: Context({field}=..)")
    if context is None:
        side = math.isqrt(total)
        square = "places" in needs and side * side == total
        places = Places.raster(side, side, batch=batch, device=tokens.device) if square else None
        context = Context(places)
    if "places" in needs:
        places = context.places
        if places is None or places.index.shape != (batch, total, 3):
            got = "no places" if places is None else f"places of shape {tuple(places.index.shape)}"
            expected = f"Context(places=..) with an index of shape {(batch, total, 3)}"
            raise ApETError(name, f"{got} for {total} tokens", expected)
    if "prompt" in needs:
        prompt = context.prompt
        fits = prompt is not None and prompt.ndim == 3 and prompt.numel() > 0
        if prompt is None or not fits or (len(prompt), prompt.shape[2]) != (batch, width):
            got = "no prompt" if prompt is None else f"a prompt of shape {tuple(prompt.shape)}"
            expected = f"Context(prompt=..), text embeddings of shape ({batch}, T, {width}); {_BY_APPLY}"
            raise ApETError(name, got, expected)
    if "attention" in needs:
        attention = context.attention
        if attention is None or attention.received.shape != (batch, total):
            got = "no attention"
            if attention is not None:
                got = f"attention of {tuple(attention.received.shape)}"
            expected = (
                f"Context(attention=..), weights of shape {(batch, total)} that eager attention gives out"
            )
            raise ApETError(name, got, f"{expected}; {_BY_APPLY}")
    if "decoder" in needs and (context.decoder is None or context.decoder.norms.shape != (batch, total)):
        got = "no decoder states" if context.decoder is None else "decoder states of other tokens"
        raise ApETError(name, got, f"Context(decoder=..), or a stage inside the language model; {_BY_APPLY}")
    return context
