"""Arithmetic, bytes and times of one request or a batch of them.

A product of an ``a x b`` by a ``b x c`` matrix counts ``2abc`` operations; softmax, norms and activations are
left out. A step takes as long as its arithmetic or its bytes do, whichever is longer (the roofline).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from apet.app.command import typed
from apet.app.context import check_context
from apet.app.plan.devices import Device
from apet.app.plan.shapes import Text, Vision
from apet.core.budget import resolve_keep
from apet.core.errors import ApETError

__all__ = ["Load", "Plan", "plan"]

_BASIS = 10
_RESERVED = 0.1
"""Share of the memory that is left to activations and the allocator."""


@dataclass(frozen=True)
class Load:
    """What is asked of the model.

    Attributes:
        batch: Requests at a time.
        images: Pictures (or clips) in each.
        words: Text tokens in each.
        answer: Tokens generated for each.
    """

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
        vision_flops: Operations of the encoder and the projector.
        select_flops: Operations of the selection.
        prefill_flops: Operations of the prefill.
        decode_flops: Operations per generated token.
        cache_bytes: KV cache of a request at the end of its answer.
        requests: Requests that fit the memory beside the weights.
        vision_seconds: Time of the encoder and the projector.
        select_seconds: Time of the selection.
        prefill_seconds: Time of the prefill.
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
        times = {
            "first_token_seconds": self.first_token_seconds,
            "answer_seconds": self.answer_seconds,
        }
        return {**asdict(self), **times}


def plan(
    text: Text,
    vision: Vision,
    load: Load,
    device: Device,
    keep: int | float | None = None,
    stage2: tuple[int, int | float] | None = None,
) -> Plan:
    """Counts what a run costs; uncompressed if ``keep`` is None.

    Args:
        text: The language model.
        vision: The vision side.
        load: What is asked of them.
        device: What they run on.
        keep: Visual tokens of each picture, tile or frame that stage 1 keeps.
        stage2: Decoder layer of stage 2, and what it keeps.

    Raises:
        ApETError: If the budget does not fit the model.
    """
    parts = load.images * vision.parts
    check_context(text.context, load.words + parts * vision.tokens, load.answer, typed(otherwise="plan"))
    kept = late = vision.tokens
    split = text.layers
    if keep is not None:
        kept = late = resolve_keep(keep, vision.tokens, typed("keep", "plan"))
        if stage2 is not None:
            split, late = stage2[0], resolve_keep(stage2[1], vision.tokens, typed("stage2", "plan"))
            if split >= text.layers or late > kept:
                expected = f"a layer below {text.layers} and at most {kept} tokens"
                raise ApETError(typed("stage2", "plan"), f"stage2={split}:{late}", expected)
    layers = ((split, load.words + parts * kept), (text.layers - split, load.words + parts * late))
    size = device.itemsize
    batch = load.batch

    projected = kept if vision.early else vision.tokens
    vision_flops = batch * parts * _encoder_flops(vision, projected)
    vision_seconds = _time(vision_flops, vision.weights * size, device)
    select_flops = select_seconds = 0.0
    if kept < vision.tokens:
        work = [_selection(vision.tokens, kept, vision.out, size)]
        if late < kept:
            work.append(_selection(kept, late, text.width, size))
        select_flops = batch * parts * sum(flops for flops, _ in work)
        select_seconds = sum(_time(batch * parts * f, batch * parts * moved, device) for f, moved in work)
    prefill = batch * sum(n * _layer_flops(text, length) for n, length in layers)
    prefill += batch * 2 * text.width * text.vocabulary
    held = 2 * text.keys * text.head * size
    cache = held * sum(n * (length + load.answer) for n, length in layers)
    # An average token: half of the answer stands before it.
    context = sum(n * (length + load.answer / 2) for n, length in layers)
    read = text.layers * text.layer_weights + text.width * text.vocabulary
    decode = batch * (2 * read + 4 * text.queries * text.head * context)
    free = device.memory * (1 - _RESERVED) - (text.weights + vision.weights) * size
    return Plan(
        tokens=parts * kept,
        tokens_late=parts * late,
        vision_flops=vision_flops,
        select_flops=select_flops,
        prefill_flops=prefill,
        decode_flops=decode,
        cache_bytes=cache,
        requests=max(0, int(free // cache)),
        vision_seconds=vision_seconds,
        select_seconds=select_seconds,
        prefill_seconds=_time(prefill, read * size, device),
        decode_seconds=_time(decode, read * size + batch * held * context, device),
        answer=load.answer,
    )


def _time(flops: float, moved: float, device: Device) -> float:
    return max(flops / device.flops, moved / device.bandwidth)


def _layer_flops(text: Text, length: int) -> float:
    """One decoder layer on a prompt; causal attention needs half of all pairs."""
    return 2 * length * text.layer_weights + 2 * length * length * text.queries * text.head


def _encoder_flops(vision: Vision, projected: int) -> float:
    """The encoder on one part, and the projector on so many of its tokens."""
    products = 2 * vision.patches * vision.layer_weights * len(vision.seen)
    attention = sum(4 * vision.patches * seen * vision.width for seen in vision.seen)
    return products + attention + 2 * projected * vision.projector


def _selection(tokens: int, kept: int, width: int, size: int) -> tuple[float, float]:
    """Operations and bytes of ApET on one part: M + 1 reads, products with the basis and the kept tokens."""
    count = min(_BASIS, kept)
    flops = 3 * count * tokens * width + 4 * count * tokens * width + 2 * tokens * kept * width
    return float(flops), float((count + 1) * tokens * width * size)
