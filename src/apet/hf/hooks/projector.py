"""Stage 1 before the projector: it is handed the kept rows alone, as in the paper for LLaVA-1.5."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.core.segment import Segment
from apet.hf.cache.record import Lease
from apet.hf.choice.features import scattered
from apet.hf.choice.segments import grids_of_entries
from apet.hf.choice.stage1 import compress_segments
from apet.hf.families import Family
from apet.hf.grid import Grid
from apet.hf.hooks.attention import attention_of
from apet.hf.hooks.context_stage1 import told_at_stage1
from apet.hf.hooks.hooks import Hooks
from apet.hf.prompt_state import rows_of
from apet.hf.state import Encoding, encoding_in_progress
from apet.methods import Method


def encoding_of(lease: Lease) -> Encoding | None:
    """The running call of a feature method, if it belongs to this compression."""
    encoding = encoding_in_progress.get()
    return encoding if encoding is not None and encoding.lease is lease else None


class ProjectorHooks(Hooks):
    """Hooks of one projector: shorten its input, and bring its output back to the expected length."""

    def __init__(self, method: Method, lease: Lease, family: Family, base: nn.Module) -> None:
        super().__init__(method, lease)
        self.family = family
        self.base = weakref.ref(base)

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Hand the projector the kept rows: ``(B, N, d)`` becomes ``(B, K, d)``."""
        encoding = encoding_of(self.lease)
        if encoding is None:
            return None
        features = args[0]
        if encoding.apart:
            encoding.inputs.append(features)
            return None
        if encoding.segments and self.method.budget == "shared":
            raise ApETError(
                "forward",
                "budget='shared' where the projector is called once per image",
                "at='projector_output', or budget='each'",
            )
        segments = self._segments(features, encoding)
        rows = features.reshape(-1, features.shape[-1])
        counts = None if encoding.around is None or self.method.budget != "shared" else encoding.around.counts
        told = told_at_stage1(
            self.method,
            self.base(),
            self.family,
            segments,
            self._grids(segments, encoding),
            encoding.around,
            rows,
            attention_of(encoding),
        )
        compressed = compress_segments(self.method, rows, segments, counts=counts, told=told)
        before = sum(segment.tokens for segment in encoding.segments)
        encoding.segments += [replace(segment, rows=rows_of(segment) + before) for segment in segments]
        encoding.selections += compressed.selections
        if compressed.kept is None:
            return None
        encoding.shape, encoding.rows = tuple(features.shape), compressed.kept
        lengths = {
            segment.tokens if stage is None else len(stage.indices)
            for segment, stage in zip(segments, compressed.selections, strict=True)
        }
        images = len(segments) if len(lengths) == 1 and len(segments) == features.shape[0] else 1
        return compressed.short.view(images, -1, features.shape[-1]), *args[1:]

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Put the projected rows back to their places, ``(B, N, D)``, with zeros for dropped tokens."""
        encoding = encoding_of(self.lease)
        if encoding is None or encoding.shape is None or encoding.rows is None:
            return None
        outer, width = encoding.shape[:-1], output.shape[-1]
        full = scattered(output.reshape(-1, width), encoding.rows, math.prod(outer))
        encoding.shape = encoding.rows = None
        return full.view(*outer, width)

    def _grids(self, segments: list[Segment], encoding: Encoding) -> tuple[tuple[Grid, ...], ...]:
        """Where the segments' tokens lie, for a method that asks for it."""
        if "places" not in self.method.needs:
            return ()
        kind = next(kind for kind in self.family.modalities if kind.name == encoding.modality)
        return grids_of_entries(kind, self.base(), encoding.arguments, segments)

    def _segments(self, features: Tensor, encoding: Encoding) -> list[Segment]:
        """One segment per image, over the projector's input ``(B, N, d)``."""
        lengths = [features.shape[1]] * features.shape[0]
        image_sizes = encoding.arguments.get("image_sizes")
        if image_sizes is not None:
            base: Any = self.base()
            tower = base.vision_tower
            sizes = torch.as_tensor(image_sizes, device="cpu")
            lengths = (sizes // tower.patch_size).prod(dim=-1).tolist()
            if sum(lengths) != features.shape[0] * features.shape[1]:
                raise ApETError(
                    "forward",
                    f"{tuple(features.shape)} features for image sizes that need {sum(lengths)} tokens",
                    "one feature per patch in image_sizes",
                )
        first = len(encoding.segments)
        rows = torch.arange(sum(lengths), device="cpu").split(lengths)
        return [
            Segment(encoding.modality, first + number, 0, len(own), rows=own)
            for number, own in enumerate(rows)
        ]
