"""Stage 1 on the vision side: decide on the features that a feature method returns."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.cache.record import Lease
from apet.hf.choice.downsampled import place_small
from apet.hf.choice.features import Features
from apet.hf.choice.stage1 import Compressed, compress_units
from apet.hf.clock import Clock
from apet.hf.families import Family, Modality
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries
from apet.hf.families.shrink import Shrunk
from apet.hf.grid import Grid
from apet.hf.hooks.attention import attention_of
from apet.hf.hooks.hooks import Stage
from apet.hf.prompt.tiling import around_of, joined
from apet.hf.state import (
    Encoded,
    Encoding,
    Unit,
    call_in_progress,
    encoding_in_progress,
    generation_in_progress,
)
from apet.methods import Downsample, Method

__all__ = ["VisionStage", "attach", "encoded_of"]

_ATTRIBUTE = "apet_encoded"


def encoded_of(output: Any) -> Encoded | None:
    """The decisions that travel with the output of a feature method; None if it was not compressed."""
    found: Encoded | None = getattr(output, _ATTRIBUTE, None)
    return found


def attach(output: Any, encoded: Encoded) -> None:
    """Let the decisions travel with the output of a feature method."""
    if not isinstance(output, tuple):
        setattr(output, _ATTRIBUTE, encoded)


class VisionStage(Stage):
    """Wraps the feature methods of one model, and hooks its projector where stage 1 comes before that.

    The features keep their number, so the model's own check of placeholders holds: the rows of dropped tokens
    are zeros, and the text model's hook removes them. The decisions travel as an attribute of the returned
    output, because ``generate`` encodes images before the forward pass that uses them.
    """

    def __init__(self, method: Method, lease: Lease, family: Family, base: nn.Module) -> None:
        super().__init__(method, lease)
        self.family = family
        self.base = base
        early = family.projector is not None and method.at != "projector_output"
        self.early = early and not method.replaces

    def wrap(self, original: Callable[..., Any], modalities: Sequence[Modality]) -> Callable[..., Any]:
        """Make the replacement of a feature method, which may encode several modalities."""
        signature = inspect.signature(original)

        @functools.wraps(original)  # generate reads the signature
        def features(*args: Any, **kwargs: Any) -> Any:
            if encoding_in_progress.get() is not None:  # one feature method calling another
                return original(*args, **kwargs)
            arguments = signature.bind_partial(*args, **kwargs).arguments
            arguments |= arguments.pop("kwargs", {})
            modality = self._modality(modalities, arguments)
            encoding = Encoding(
                self.lease,
                modality.name,
                sizes=arguments.get("image_sizes"),
                around=around_of(self.base, self.family, modality, self.method, self.lease),
            )
            token = encoding_in_progress.set(encoding)
            try:
                with Clock(torch.device("cpu")) as clock:
                    smaller = self._shrunk(modality, arguments)
                output = original(*args, **kwargs) if smaller is None else original(**smaller.arguments)
            finally:
                encoding_in_progress.reset(token)
            if smaller is not None:
                output, encoded = self._small(output, modality, smaller, clock)
            elif self.early:
                total = sum(unit.tokens for unit in encoding.units)
                visual = Visual(self.base, arguments, tuple((unit.tokens,) for unit in encoding.units))
                encoded = Encoded(
                    self.lease,
                    modality.name,
                    total,
                    tuple(encoding.units),
                    tuple(encoding.stages),
                    _grids(modality, visual, entries(visual)),
                )
            else:
                output, encoded = self._behind(output, modality, arguments, encoding)
            attach(output, encoded)
            for running in (call_in_progress.get(), generation_in_progress.get()):
                if running is not None and running.lease is self.lease:
                    running.encoded[modality.name] = encoded
            return output

        return features

    def _modality(self, modalities: Sequence[Modality], arguments: dict[str, Any]) -> Modality:
        """What a call encodes, by whose pixels it got; the first where that is not known."""
        call = call_in_progress.get()
        pixels = call.pixels if call is not None and call.lease is self.lease else {}
        given = arguments.get(modalities[0].pixels)
        found = (one for one in modalities[1:] if given is not None and pixels.get(one.name) is given)
        return next(found, modalities[0])

    def _shrunk(self, modality: Modality, arguments: dict[str, Any]) -> Shrunk | None:
        """The call on smaller pictures, if that is what the method does."""
        if not isinstance(self.method, Downsample):
            return None
        if modality.shrink is None:
            raise ApETError("forward", f"a {modality.name} under Downsample", "images")
        return modality.shrink.run(self.base, arguments, self.method.grid)

    def _small(self, output: Any, modality: Modality, shrunk: Shrunk, clock: Clock) -> tuple[Any, Encoded]:
        """Put the features of smaller pictures in places of the large ones'."""
        features = Features.of(output)
        units, done = place_small(features.rows, features.deep, modality.name, shrunk.grids, clock)
        encoded = Encoded(
            self.lease, modality.name, sum(unit.tokens for unit in units), tuple(units), done.stages
        )
        return self._filled(features, encoded, done, [unit.tokens for unit in units]), encoded

    def _filled(
        self, features: Features, encoded: Encoded, done: Compressed, sizes: list[int] | None = None
    ) -> Any:
        """The output with merged rows in their places, and zeros in the others."""
        if done.kept is None:
            return features.output
        full = [_spread(x, done.kept, encoded.total) for x in (done.short, *done.deep)]
        return features.rebuild(full[0], tuple(full[1:]), sizes)

    def _behind(
        self, output: Any, modality: Modality, arguments: dict[str, Any], encoding: Encoding
    ) -> tuple[Any, Encoded]:
        """Decide on finished features, and put merged rows and zeros in their places."""
        features = Features.of(output)
        visual = Visual(self.base, arguments, features.entries)
        images, around = (modality.layout or entries)(visual), encoding.around
        if modality.begins is not None and around is not None and around.ids is not None:
            images = joined(images, around, around.ids, modality.begins, modality.name)
        units = []
        for number, parts in enumerate(images):
            if self.method.unit == "whole":
                units.append(_whole(modality.name, number, parts))
            else:
                units += [Unit(modality.name, number, part, rows) for part, rows in enumerate(parts)]
        done = compress_units(
            self.method, features.rows, units, features.deep, self._counts(encoding), attention_of(encoding)
        )
        grids = _grids(modality, visual, images)
        encoded = Encoded(self.lease, modality.name, len(features.rows), tuple(units), done.stages, grids)
        return self._filled(features, encoded, done), encoded

    def before_projector(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Hand the projector the kept rows: ``(B, N, d)`` becomes ``(B, K, d)``."""
        encoding = self._current()
        if encoding is None:
            return None
        features = args[0]
        if encoding.units and self.method.budget == "shared":
            raise ApETError(
                "forward",
                "budget='shared' where the projector is called once per image",
                "at='projector_output', or budget='each'",
            )
        units = self._units(features, encoding)
        rows = features.reshape(-1, features.shape[-1])
        attention = attention_of(encoding)
        done = compress_units(self.method, rows, units, counts=self._counts(encoding), attention=attention)
        encoding.units += units
        encoding.stages += done.stages
        if done.kept is None:
            return None
        encoding.shape, encoding.rows = tuple(features.shape), done.kept
        counts = {
            unit.tokens if stage is None else len(stage.indices)
            for unit, stage in zip(units, done.stages, strict=True)
        }
        images = len(units) if len(counts) == 1 and len(units) == features.shape[0] else 1
        return done.short.view(images, -1, features.shape[-1]), *args[1:]

    def after_projector(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Put the projected rows back to their places, ``(B, N, D)``, with zeros for dropped tokens."""
        encoding = self._current()
        if encoding is None or encoding.shape is None or encoding.rows is None:
            return None
        outer, width = encoding.shape[:-1], output.shape[-1]
        full = _spread(output.reshape(-1, width), encoding.rows, math.prod(outer))
        encoding.shape = encoding.rows = None
        return full.view(*outer, width)

    def _counts(self, encoding: Encoding) -> list[int] | None:
        """Visual tokens of each prompt, where prompts share a budget."""
        if encoding.around is None or self.method.budget != "shared":
            return None
        return encoding.around.counts

    def _current(self) -> Encoding | None:
        encoding = encoding_in_progress.get()
        return encoding if encoding is not None and encoding.lease is self.lease else None

    def _units(self, features: Tensor, encoding: Encoding) -> list[Unit]:
        """One unit per image, over the projector's input ``(B, N, d)``."""
        lengths = [features.shape[1]] * features.shape[0]
        if encoding.sizes is not None:
            tower: Any = self.base.vision_tower
            lengths = (torch.as_tensor(encoding.sizes) // tower.patch_size).prod(dim=-1).tolist()
            if sum(lengths) != features.shape[0] * features.shape[1]:
                raise ApETError(
                    "forward",
                    f"{tuple(features.shape)} features for image sizes that need {sum(lengths)} tokens",
                    "one feature per patch in image_sizes",
                )
        images = entries(Visual(self.base, {}, tuple((length,) for length in lengths)))
        first = len(encoding.units)
        return [Unit(encoding.modality, first + number, 0, rows) for number, (rows,) in enumerate(images)]


def _whole(modality: str, number: int, parts: Sequence[Tensor]) -> Unit:
    """An image or video as one unit; of a video the frames are known where each has as many tokens."""
    rows = torch.cat(list(parts))
    ordered = rows.sort().values
    even = modality == "video" and len({len(part) for part in parts}) == 1 and torch.equal(rows, ordered)
    return Unit(modality, number, 0, ordered, len(parts) if even else 1)


def _grids(
    modality: Modality, visual: Visual, images: Sequence[Sequence[Tensor]]
) -> tuple[tuple[Grid, ...], ...]:
    if modality.grids is None:
        return ()
    return tuple(tuple(grids) for grids in modality.grids(visual, images))


def _spread(short: Tensor, kept: Tensor, total: int) -> Tensor:
    """Kept rows at their places among zeros."""
    return short.new_zeros(total, short.shape[-1]).index_copy(0, kept.to(short.device), short)
