"""Stage 1 on the vision side: decide on the features, and hand the projector kept rows only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.budget import resolve_keep
from apet.core.errors import ApETError
from apet.hf.cache import Lease
from apet.hf.decide import decide
from apet.hf.families import Family
from apet.hf.stage import Stage
from apet.hf.state import (
    Encoded,
    Encoding,
    call_in_progress,
    encoding_in_progress,
    generation_in_progress,
)
from apet.methods import Method

__all__ = ["VisionStage", "encoded_of"]

_ATTRIBUTE = "apet_encoded"


def encoded_of(output: Any) -> Encoded | None:
    """The decisions that travel with the output of a feature method; None if it was not compressed."""
    found: Encoded | None = getattr(output, _ATTRIBUTE, None)
    return found


class VisionStage(Stage):
    """Wraps the feature method and hooks the projector of one model.

    The features keep their number, so the model's own check of placeholders holds: the rows of dropped tokens
    are zeros, and the text model's hook removes them. The decisions travel as an attribute of the returned
    output, because ``generate`` encodes images before the forward pass that uses them.
    """

    def __init__(self, method: Method, lease: Lease, family: Family, base: nn.Module) -> None:
        super().__init__(method, lease)
        self.family = family
        self.base = base

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Make the replacement of a feature method."""

        @functools.wraps(original)  # generate reads the signature
        def features(*args: Any, **kwargs: Any) -> Any:
            if encoding_in_progress.get() is not None:  # one feature method calling another
                return original(*args, **kwargs)
            encoding = Encoding(self.lease, sizes=kwargs.get(self.family.sizes))
            token = encoding_in_progress.set(encoding)
            try:
                output = original(*args, **kwargs)
            finally:
                encoding_in_progress.reset(token)
            encoded = Encoded(self.lease, tuple(encoding.lengths), tuple(encoding.stages))
            if not isinstance(output, tuple):
                setattr(output, _ATTRIBUTE, encoded)
            for running in (call_in_progress.get(), generation_in_progress.get()):
                if running is not None and running.lease is self.lease:
                    running.encoded = encoded
            return output

        return features

    def before_projector(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Hand the projector the kept rows: ``(B, N, d)`` becomes ``(B, K, d)``."""
        encoding = self._current()
        if encoding is None or self.method.at != "projector_input":
            return None
        kept = self._compress(args[0], encoding)
        return None if kept is None else (kept, *args[1:])

    def after_projector(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Put the projected rows back to their places, ``(B, N, D)``, with zeros for dropped tokens."""
        encoding = self._current()
        if encoding is None:
            return None
        if self.method.at == "projector_output":
            kept = self._compress(output, encoding)
            output = output if kept is None else kept
        if encoding.shape is None or encoding.rows is None:
            return None
        *outer, width = *encoding.shape[:-1], output.shape[-1]
        count = 1
        for size in outer:
            count *= size
        rows = encoding.rows.to(output.device)
        flat = output.new_zeros(count, width).index_copy(0, rows, output.reshape(-1, width))
        encoding.shape = encoding.rows = None
        return flat.view(*outer, width)

    def _current(self) -> Encoding | None:
        encoding = encoding_in_progress.get()
        return encoding if encoding is not None and encoding.lease is self.lease else None

    def _lengths(self, features: Tensor, encoding: Encoding) -> list[int]:
        """Visual tokens of every image in the features ``(B, N, d)``."""
        if encoding.sizes is None:
            return [features.shape[1]] * features.shape[0]
        tower: Any = self.base.vision_tower
        patch = tower.patch_size
        lengths: list[int] = (torch.as_tensor(encoding.sizes) // patch).prod(dim=-1).tolist()
        if sum(lengths) != features.shape[0] * features.shape[1]:
            raise ApETError(
                "forward",
                f"{tuple(features.shape)} features for image sizes that need {sum(lengths)} tokens",
                f"one feature per patch in {self.family.sizes}",
            )
        return lengths

    def _check_order(self, lengths: list[int], keeps: list[int]) -> None:
        """Refuse a stage 2 that asks for more than stage 1 leaves: an int and a share compare only here."""
        stage2 = self.method.stage2
        if stage2 is None:
            return
        for length, keep in zip(lengths, keeps, strict=True):
            later = resolve_keep(stage2.keep, length)
            if later > keep:
                raise ApETError(
                    "forward",
                    f"stage2.keep={stage2.keep!r} ({later} of {length} tokens) behind {keep} in stage 1",
                    "at most what stage 1 keeps",
                )

    def _compress(self, features: Tensor, encoding: Encoding) -> Tensor | None:
        """Decide on ``(B, N, d)`` features and give the kept rows.

        Returns:
            ``(B, K, d)``, or ``(1, sum of K, d)`` if the images differ in length; None if everything is
            kept. The decisions and the places of the kept rows go to ``encoding``.
        """
        lengths = self._lengths(features, encoding)
        keeps = [resolve_keep(self.method.keep, length) for length in lengths]
        self._check_order(lengths, keeps)
        segments = torch.split(features.reshape(-1, features.shape[-1]), lengths)
        offsets = [sum(lengths[:number]) for number in range(len(lengths))]
        base = len(encoding.stages)
        encoding.lengths.extend(lengths)
        encoding.stages.extend([None] * len(lengths))
        groups = decide(self.method, segments, keeps)
        if not groups:
            return None
        kept: list[Tensor] = list(segments)
        rows = [torch.arange(length, device=features.device) for length in lengths]
        for group in groups:
            tokens = torch.stack([segments[number] for number in group.members])
            merged = group.selection.apply(tokens, dim=1, merge=self.method.merge)
            for slot, number in enumerate(group.members):
                stage = group.stage(slot, rows[number], merged[slot])
                encoding.stages[base + number] = stage
                kept[number] = merged[slot]
                rows[number] = stage.indices
        encoding.shape = tuple(features.shape)
        encoding.rows = torch.cat([row + offset for row, offset in zip(rows, offsets, strict=True)])
        flat = torch.cat(kept)
        if len(set(keeps)) == 1 and len(keeps) == features.shape[0]:
            return flat.view(len(keeps), -1, features.shape[-1])
        return flat[None]
