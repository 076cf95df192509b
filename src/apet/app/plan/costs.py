"""Arithmetic, bytes and times of one request or a batch of them.

A product of an ``a x b`` by a ``b x c`` matrix counts ``2abc`` operations; softmax, norms and activations are
left out. A step takes as long as its arithmetic or its bytes do, whichever is longer (the roofline).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from apet.app.command import typed
from apet.app.loading import check_context
from apet.app.plan.devices import Device
from apet.app.plan.shapes import Text, Vision
from apet.core.budget import resolve_keep
from apet.core.errors import ApETError
from apet.core.words import counted
from apet.methods import Stage2

_BASIS = 10
_RESERVED = 0.1
"""Share of the memory that is left to activations and the allocator."""


@dataclass(frozen=True)
class Load:
    """What is asked of the model: requests, and in each pictures (or clips), text and answer tokens."""

    batch: int = 1
    images: int = 1
    words: int = 64
    answer: int = 128


@dataclass(frozen=True)
class Plan:
    """The figures of one way to run; times are those of the whole batch.

    Attributes:
        tokens: Visual tokens of a request in the first decoder layers.
        tokens_late: Visual tokens of a request behind stage 2.
        vision_flops: Operations of the encoder and the projector; then those of the other steps.
        decode_flops: Operations per generated token.
        cache_bytes: KV cache of a request at the end of its answer.
        requests: Requests that fit the memory beside the weights.
        vision_seconds: Time of the encoder and the projector; then those of the other steps.
        decode_seconds: Time per generated token.
        answer: Generated tokens of a request, of which the prefill gives the first.
    """

    tokens: int
    tokens_late: int
    vision_flops: float
    select_flops: float
    prefill_flops: float
    decode_flops: float
    cache_bytes: int
    requests: int
    vision_seconds: float
    select_seconds: float
    prefill_seconds: float
    decode_seconds: float
    answer: int

    @property
    def first_token_seconds(self) -> float:
        """Time to first token."""
        return self.vision_seconds + self.select_seconds + self.prefill_seconds

    @property
    def answer_seconds(self) -> float:
        """Time to the last token."""
        return self.first_token_seconds + (self.answer - 1) * self.decode_seconds

    def report(self) -> dict[str, Any]:
        """All figures, for JSON."""
        times = {"first_token_seconds": self.first_token_seconds, "answer_seconds": self.answer_seconds}
        return {**asdict(self), **times}


def plan(
    text: Text,
    vision: Vision,
    load: Load,
    device: Device,
    keep: int | float | None = None,
    stage2: Stage2 | None = None,
) -> Plan:
    """Counts what a run costs; uncompressed if ``keep``, of each picture, tile or frame, is None."""
    operation = typed(otherwise="plan")
    check_context(text.context, load.words + load.images * vision.tokens, load.answer, operation)
    kept = late = vision.parts
    split = len(text.layers)
    if keep is not None:
        kept = late = tuple(resolve_keep(keep, n, typed("keep", "plan")) for n in vision.parts)
    if keep is not None and stage2 is not None:
        split = stage2.layer
        late = tuple(resolve_keep(stage2.keep, n, typed("stage2", "plan")) for n in vision.parts)
        if split >= len(text.layers) or any(b > a for a, b in zip(kept, late, strict=True)):
            words = f"stage2={split}:{stage2.keep} ({sum(late)} of {counted(sum(vision.parts), 'token')})"
            expected = f"a layer below {len(text.layers)} and no more tokens than --keep's {sum(kept)}"
            raise ApETError(typed("stage2", "plan"), words, expected)
    first, then = (load.images * (sum(tokens) + vision.others) for tokens in (kept, late))
    lengths = [(layer, first if n < split else then) for n, layer in enumerate(text.layers)]
    size, batch = device.itemsize, load.batch

    run = sum(kept) + vision.others if vision.per_token else 0
    vision_flops = batch * load.images * (vision.flops + run * vision.per_token)
    vision_seconds = _time(vision_flops, vision.weights * size, device)
    work = [_selection(n, k, vision.out, size) for n, k in zip(vision.parts, kept, strict=True) if k < n]
    work += [_selection(n, k, text.width, size) for n, k in zip(kept, late, strict=True) if k < n]
    times = batch * load.images
    select_flops = times * sum(flops for flops, _ in work)
    select_seconds = sum(_time(times * flops, times * moved, device) for flops, moved in work)

    prefill = float(2 * text.head)
    for layer, visual in lengths:
        prefill += load.words * layer.per_token + visual * layer.per_visual
        prefill += layer.per_pair * layer.pairs(load.words + visual)
    prefill = batch * (prefill + text.per_token * (load.words + first))
    cache = size * sum(
        layer.held * layer.seen(load.words + visual + load.answer) + layer.state for layer, visual in lengths
    )
    # An average token: half of the answer stands before it.
    seen = [(layer, layer.seen(load.words + visual + load.answer / 2)) for layer, visual in lengths]
    decode = sum(layer.per_token + layer.per_pair * tokens for layer, tokens in seen)
    decode = batch * (decode + text.per_token + 2 * text.head)
    # Of experts no more are read than tokens ask for.
    read = text.head + sum(min(layer.weights, batch * layer.per_token / 2) for layer in text.layers)
    read_first = text.head + sum(layer.weights for layer in text.layers)
    moved = sum(layer.held * tokens + layer.state for layer, tokens in seen)
    free = device.memory * (1 - _RESERVED) - (text.weights + vision.weights) * size
    return Plan(
        tokens=first,
        tokens_late=then,
        vision_flops=vision_flops,
        select_flops=select_flops,
        prefill_flops=prefill,
        decode_flops=decode,
        cache_bytes=int(cache),
        requests=max(0, int(free // cache)),
        vision_seconds=vision_seconds,
        select_seconds=select_seconds,
        prefill_seconds=_time(prefill, read_first * size, device),
        decode_seconds=_time(decode, (read + batch * moved) * size, device),
        answer=load.answer,
    )


def _time(flops: float, moved: float, device: Device) -> float:
    return max(flops / device.flops, moved / device.bandwidth)


def _selection(tokens: int, kept: int, width: int, size: int) -> tuple[float, float]:
    """Operations and bytes of ApET on one part: M + 1 reads, products with the basis and the kept tokens."""
    count = min(_BASIS, kept)
    flops = 3 * count * tokens * width + 4 * count * tokens * width + 2 * tokens * kept * width
    return float(flops), float((count + 1) * tokens * width * size)
