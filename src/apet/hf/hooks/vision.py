"""Stage 1 on the vision side: decide on the features that a feature method returns."""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from apet.core.errors import ApETError
from apet.hf.arguments import Given
from apet.hf.cache.record import Lease
from apet.hf.choice.downsampled import place_small
from apet.hf.choice.features import Features, scattered, versions
from apet.hf.choice.segments import grids_of, grids_of_entries, segments_of
from apet.hf.choice.stage1 import Compressed, compress_segments
from apet.hf.clock import Clock
from apet.hf.families import Family, Modality
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries
from apet.hf.families.shrink import Shrunk
from apet.hf.hooks.attention import attention_of
from apet.hf.hooks.compiled import outside_compiled_code
from apet.hf.hooks.context_stage1 import told_at_stage1
from apet.hf.hooks.hooks import Hooks
from apet.hf.hooks.projector import encoding_of
from apet.hf.hooks.travelling import (
    Source,
    attach,
    check_unchanged,
    encoded_of,
    not_ours,
    source_of,
)
from apet.hf.prompt.tiling import around_of, joined_tiles
from apet.hf.state import (
    Encoded,
    Encoding,
    call_in_progress,
    called_by_entry,
    encoding_in_progress,
    generation_in_progress,
    running,
)
from apet.methods import Downsample, Method


class VisionHooks(Hooks):
    """Wraps the feature methods of one model, and hooks its projector where stage 1 comes before that.

    Within a forward pass or a generation the features keep their number, so the model's own check of
    placeholders holds: the rows of dropped tokens are zeros, and the text model's hook removes them. The
    decisions travel as an attribute of the returned output, because ``generate`` encodes images before the
    forward pass that uses them. Anywhere else a caller gets all features as they are, and they are decided
    on when a forward pass is given them.
    """

    def __init__(self, method: Method, lease: Lease, family: Family, base: nn.Module) -> None:
        super().__init__(method, lease)
        self.family = family
        self._base = weakref.ref(base)
        self.early = family.projector is not None and method.early

    @property
    def base(self) -> Any:
        """The base model."""
        return self._base()

    def wrap(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Make the replacement of the feature method of a name, which may encode several modalities."""
        modalities = [modality for modality in self.family.modalities if modality.method == name]
        return outside_compiled_code(functools.partial(self._features, original, modalities))

    def _features(
        self, original: Callable[..., Any], modalities: Sequence[Modality], *args: Any, **kwargs: Any
    ) -> Any:
        if encoding_of(self.lease) is not None and not self.early:  # one feature method calling another
            return original(*args, **kwargs)
        arguments = inspect.signature(original).bind_partial(*args, **kwargs).arguments
        arguments |= arguments.pop("kwargs", {})
        arguments = Given(arguments)
        modality = self._modality(modalities, arguments)
        scopes = [
            scope
            for scope in (call_in_progress.get(), generation_in_progress.get())
            if scope is not None and scope.lease is self.lease
        ]
        scopes = [scope for scope in scopes if getattr(scope, "encodes", True)]
        if not scopes or encoding_of(self.lease) or not called_by_entry():
            return self._apart(original, modality, arguments, args, kwargs)
        encoding = self._encoding(modality, arguments)
        with Clock(torch.device("cpu")) as clock:
            smaller = self._shrunk(modality, arguments)
        with running(encoding_in_progress, encoding):
            output = original(*args, **kwargs) if smaller is None else original(**smaller.arguments)
        if smaller is not None:
            output, encoded = self._small(output, modality, smaller, clock)
        else:
            output, encoded = self._decided(output, modality, arguments, encoding)
        attach(output, encoded)
        for scope in scopes:
            scope.encoded[modality.name] = encoded
        return output

    def _apart(
        self,
        original: Callable[..., Any],
        modality: Modality,
        arguments: Given,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """All features as they are, with what a forward pass needs to decide on them later."""
        encoding = Encoding(self.lease, modality.name, arguments, apart=True)
        with running(encoding_in_progress, encoding):
            output = original(*args, **kwargs)
        source = Source(
            arguments, tuple(encoding.inputs), attention_of(encoding), self._base, versions(output)
        )
        attach(output, source)
        return output

    def again(self, output: Any, modality: Modality) -> tuple[Any, Encoded]:
        """Decide, within a call, on features that were encoded apart from it.

        Returns:
            New features with zeros for dropped tokens, and the decisions.
        """
        source = source_of(output)
        if source is None or (self.early and not source.inputs):
            raise not_ours(modality)
        if self.early:
            check_unchanged(output, source, self.base, modality)
        arguments = Given(source.arguments)
        if isinstance(self.method, Downsample):
            output = getattr(self.base, modality.method)(**source.arguments)
            decided = encoded_of(output)
            if decided is None:
                raise not_ours(modality)
            return output, decided
        encoding = self._encoding(modality, arguments)
        if source.attention is not None:
            encoding.received, encoding.keys = source.attention.received, source.attention.keys
            encoding.middle = source.attention.middle
        output = copy.copy(output)
        if self.early:
            projector = getattr(self.base, self.family.projector or "")
            with running(encoding_in_progress, encoding):
                rows = [projector(features) for features in source.inputs]
            rows = [part.reshape(-1, part.shape[-1]) for part in rows]
            output = Features.of(output).rebuild(torch.cat(rows), ())
        output, encoded = self._decided(output, modality, arguments, encoding)
        attach(output, encoded)
        return output, encoded

    def _encoding(self, modality: Modality, arguments: Given) -> Encoding:
        around = around_of(self.base, self.family, modality, self.method, self.lease)
        return Encoding(self.lease, modality.name, arguments, around)

    def _decided(
        self, output: Any, modality: Modality, arguments: Given, encoding: Encoding
    ) -> tuple[Any, Encoded]:
        """The features with the decisions on them, which the projector's hook may have made already."""
        if not self.early:
            return self._decide_on_features(output, modality, arguments, encoding)
        segments = encoding.segments
        total = sum(segment.tokens for segment in segments)
        grids = grids_of_entries(modality, self.base, arguments, segments)
        return output, Encoded(
            self.lease, modality.name, total, tuple(segments), tuple(encoding.selections), grids
        )

    def _modality(self, modalities: Sequence[Modality], arguments: dict[str, Any]) -> Modality:
        """What a call encodes, by whose pixels it got; the first where that is not known."""
        call = call_in_progress.get()
        pixels = call.pixels if call is not None and call.lease is self.lease else {}
        tensor = arguments.get(modalities[0].pixels)
        matching = (
            modality
            for modality in modalities[1:]
            if tensor is not None and pixels.get(modality.name) is tensor
        )
        return next(matching, modalities[0])

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
        segments, small = place_small(features.rows, features.deep, modality.name, shrunk.grids, clock)
        sizes = [segment.tokens for segment in segments]
        encoded = Encoded(self.lease, modality.name, sum(sizes), tuple(segments), small.selections)
        return _filled(features, encoded, small, sizes), encoded

    def _decide_on_features(
        self, output: Any, modality: Modality, arguments: Given, encoding: Encoding
    ) -> tuple[Any, Encoded]:
        """Decide on finished features, and put merged rows and zeros in their places."""
        features, around = Features.of(output), encoding.around
        visual = Visual(self.base, arguments, features.entries)
        with torch.device("cpu"):  # where row numbers belong, whatever the caller's default is
            images = (modality.layout or entries)(visual)
            if modality.begins is not None and around is not None and around.ids is not None:
                images = joined_tiles(images, around, around.ids, modality.begins, modality.name)
            grids = grids_of(modality, visual, images)
        segments = segments_of(self.method, modality.name, images)
        named = sum(segment.tokens for segment in segments)
        if named > len(features.rows):
            got = f"a layout of {named} tokens for {len(features.rows)} features of {self.family.model_type}"
            raise ApETError("forward", got, "a layout in apet.hf.families that fits what the model returns")
        shared = self.method.budget == "shared" and around is not None
        counts = around.counts if shared and around is not None else None
        told = told_at_stage1(
            self.method,
            self.base,
            self.family,
            segments,
            grids,
            around,
            features.rows,
            attention_of(encoding),
        )
        compressed = compress_segments(self.method, features.rows, segments, features.deep, counts, told)
        encoded = Encoded(
            self.lease, modality.name, len(features.rows), tuple(segments), compressed.selections, grids
        )
        return _filled(features, encoded, compressed), encoded


def _filled(features: Features, encoded: Encoded, done: Compressed, sizes: list[int] | None = None) -> Any:
    """The output with merged rows in their places, and zeros in the others."""
    if done.kept is None:
        return features.output
    full = [scattered(x, done.kept, encoded.total) for x in (done.short, *done.deep)]
    return features.rebuild(full[0], tuple(full[1:]), sizes)
