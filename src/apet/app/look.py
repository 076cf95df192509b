"""One look at a picture: its visual tokens are computed once, and any method decides on them afterwards."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from apet.app.answering import kind_of, question_inputs
from apet.app.command import typed
from apet.core import Segment, Selection
from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.hf import compressing
from apet.hf.api import on_its_attention
from apet.hf.choice.context import Told, places_of
from apet.hf.choice.stage1 import compress_segments
from apet.hf.families import FAMILIES, family_of
from apet.hf.results import ImageResult
from apet.methods import Attended, Method


def check_drawable(model_type: str, operation: str, kind: str = "image") -> None:
    """Checks that pictures can be drawn of what a model keeps, before work is done for one."""
    if not any(
        modality.name == kind and modality.grids is not None for modality in FAMILIES[model_type].modalities
    ):
        drawable = [
            row.model_type
            for row in FAMILIES.values()
            if any(modality.name == kind and modality.grids is not None for modality in row.modalities)
        ]
        raise ApETError(
            operation,
            f"model type {model_type!r}, which does not tell where its visual tokens lie on a picture",
            one_of(sorted(drawable), model_type),
        )


@dataclass(frozen=True)
class Look:
    """What a model's vision side made of one picture, or of the frames of one video.

    Attributes:
        results: One per image, tile or frame, of one kept token; they tell where the tokens lie.
        tokens: The visual tokens of each, ``(N, d)``, where ``at="auto"`` decides.
        projected: The same behind the projector, ``(N, D)``, where that makes a difference; else empty.
    """

    results: tuple[ImageResult, ...]
    tokens: tuple[Tensor, ...]
    projected: tuple[Tensor, ...] = ()

    @property
    def least(self) -> int:
        """Visual tokens of the smallest tile or frame: no budget may be larger."""
        return min(len(tokens) for tokens in self.tokens)

    def decide(self, method: Method) -> tuple[ImageResult, ...]:
        """What a method keeps of the picture in stage 1; the vision encoder does not run again."""
        chosen = self.tokens if method.early or not self.projected else self.projected
        ends = list(accumulate(len(tokens) for tokens in chosen))
        segments = [
            Segment(
                result.modality,
                result.image,
                result.part,
                len(tokens),
                rows=torch.arange(end - len(tokens), end),
            )
            for result, tokens, end in zip(self.results, chosen, ends, strict=True)
        ]
        places = (
            [places_of(result.segment, result.grids) for result in self.results]
            if "places" in method.needs
            else []
        )
        told = Told(places)
        compressed = compress_segments(method, torch.cat(chosen), segments, counts=ends[-1:], told=told)
        return tuple(
            replace(result, stage1=stage, stage2=None)
            for result, stage in zip(self.results, compressed.selections, strict=True)
        )


def panels_of(method: Method, results: Sequence[ImageResult]) -> list[str]:
    """The panels that show something of a method: some compute no errors, some merge nothing.

    The errors of one that reads attention weights are these weights, which the panel does not speak of.
    """
    errors = not isinstance(method, Attended) and any(bool(result.errors.any()) for result in results)
    return ["kept", *(["error"] if errors else []), *(["merged"] if method.merge else [])]


@dataclass(frozen=True)
class _Recorder(Method):
    """Keeps one token and remembers what it was asked to choose from."""

    seen: dict[int, deque[Tensor]] = field(
        default_factory=lambda: defaultdict(deque), compare=False, kw_only=True
    )

    def select(self, tokens: Tensor, keep: int) -> Selection:
        """Remembers the tokens of every image by their number."""
        batch, total, _ = tokens.shape
        self.seen[total].extend(tokens.clone())
        first = torch.arange(keep, device=tokens.device).expand(batch, -1)
        return Selection(
            indices=first,
            assignment=torch.arange(total, device=tokens.device).clamp(max=keep - 1).expand(batch, -1),
            errors=torch.zeros(batch, total, device=tokens.device),
            basis=first[:, :0],
        )


@torch.no_grad()
def look_at(model: Any, processor: Any, pictures: Image.Image | Sequence[Image.Image]) -> Look:
    """Runs the vision side of a model once; models that take no videos get frames as pictures."""
    frames = [pictures] if isinstance(pictures, Image.Image) else list(pictures)
    operation = typed(otherwise="picture")
    check_drawable(model.config.model_type, operation, kind_of(model, processor, frames))
    inputs = question_inputs(model, processor, frames, "what is this?")
    recorder = _Recorder(1)
    with compressing(model, recorder) as session:
        model(**inputs)
    tokens = []
    for result in session.images:  # units of one size come in the order of the prompt
        waiting = recorder.seen[result.tokens]
        if not waiting:  # the recorder is not asked about a single token
            raise ApETError(operation, "an image of one visual token", "a larger picture")
        tokens.append(waiting.popleft())
    results = as_frames(session.images) if len(frames) > 1 else session.images
    name = family_of(model, operation).projector  # if any, they were taken before it
    later = (
        ()
        if name is None
        else tuple(getattr(model.base_model, name)(features[None])[0] for features in tokens)
    )
    return Look(results, tuple(tokens), later)


@torch.no_grad()
def look_inside(
    model: Any, processor: Any, pictures: Sequence[Image.Image], question: str, method: Method
) -> tuple[ImageResult, ...]:
    """What a method keeps that is told more than tokens and places: a pass of the whole model."""
    kind = kind_of(model, processor, pictures)
    check_drawable(model.config.model_type, typed(otherwise="picture"), kind)
    inputs = question_inputs(model, processor, pictures, question)
    with on_its_attention(model, method), compressing(model, method) as session:
        model(**inputs, logits_to_keep=1)
    return as_frames(session.images) if len(pictures) > 1 else tuple(session.images)


def as_frames(results: Sequence[ImageResult]) -> tuple[ImageResult, ...]:
    """Results of several images, as those of one video whose frames they are; of a video, as they are."""
    if any(result.modality == "video" for result in results):
        return tuple(results)
    of_each = {result.image: result.grids for result in results}
    grids = tuple(replace(grid, frame=image) for image, each in of_each.items() for grid in each)
    return tuple(
        replace(result, modality="video", image=0, part=part, grids=grids)
        for part, result in enumerate(results)
    )
