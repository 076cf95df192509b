"""What `benchmarks/growth.py` times: every quantity that can grow, and how fast time and memory then may."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from apet.app.known import KNOWN, build, inputs, tiny
from apet.core import Segment, compress, compress_ragged
from apet.hf import compressing
from apet.methods import ApET, Greedy, Method, Spread
from apet.methods.context import Context, Places

__all__ = ["Curve", "curves"]

Run = Callable[[], object]

KEPT, SHARE = 64, 9
ROUNDS = 4
SQUARES = (576, 1024, 2304, 4096, 9216, 16384, 36864, 65536)
FEWER = SQUARES[:-2]
DOUBLED = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Curve:
    """One quantity that grows, and one thing that is timed.

    Attributes:
        against: What grows, with all that stays.
        name: What is timed.
        at: Values of what grows, ascending.
        make: Makes the inputs for one value; what it returns is timed.
        time: The exponent that no more than the arithmetic asks for.
        memory: The same for memory beyond the input.
    """

    against: str
    name: str
    at: tuple[int, ...]
    make: Callable[[int], Run]
    time: float = 1.0
    memory: float = 1.0


def curves(width: int, points: int = 0) -> Iterator[Curve]:
    """All of them.

    Args:
        width: Channels of a token.
        points: How many of the smallest values to take; 0 for all.
    """
    for curve in _all(width):
        at = curve.at[:points] if points else curve.at
        yield Curve(curve.against, curve.name, at, curve.make, curve.time, curve.memory)


def _all(d: int) -> Iterator[Curve]:
    against = f"visual tokens N, {KEPT} kept"
    for name, way in _WAYS.items():
        yield Curve(against, name, SQUARES, lambda n, way=way: way(_noise(n, d)[None], KEPT, (1, n)))
    against = f"visual tokens N, N / {SHARE} kept"
    for name, way in _WAYS.items():
        at = FEWER if name.startswith("greedy") else SQUARES
        yield Curve(
            against,
            name,
            at,
            lambda n, way=way: way(_noise(n, d)[None], n // SHARE, (1, n)),
            time=2.0,
            memory=1.0 if name == "compress" else 2.0,
        )
    at = (32, 64, 128, 256, 512, 1024, 2048)
    for name, way in _WAYS.items():
        most = 1.0 if name == "compress" else 2.0
        yield Curve(
            "kept tokens K of 4096",
            name,
            at,
            lambda k, way=way: way(_noise(4096, d)[None], k, (1, 4096)),
            time=most,
            memory=most,
        )
    yield Curve(
        "basis tokens M of 4096, 512 kept",
        "compress",
        (8, 16, 32, 64, 128, 256, 512),
        lambda m: lambda: compress(_noise(4096, d), 512, basis_size=m),
    )
    against = f"batch of images, 576 tokens, {KEPT} kept"
    for name, way in _WAYS.items():
        yield Curve(
            against,
            name,
            DOUBLED[:6],
            lambda b, way=way: way(_noise(576 * b, d).view(b, 576, d), KEPT, (1, 576)),
        )
    yield from _images(d)
    yield from _frames(d)


def _images(d: int) -> Iterator[Curve]:
    against = f"images of a prompt, 576 tokens, {KEPT} kept"

    def ragged(count: int, budget: str) -> Run:
        images = list(_noise(576 * count, d).split(576))
        return lambda: compress_ragged(images, KEPT, budget=budget)

    yield Curve(against, "compress_ragged", DOUBLED, lambda n: ragged(n, "each"))
    yield Curve(against, "shared budget", DOUBLED, lambda n: ragged(n, "shared"))
    yield Curve("images of a prompt, 36 tokens, 4 kept", "prefill of a tiny model", DOUBLED, _prefill)


def _frames(d: int) -> Iterator[Curve]:
    at = tuple(8 * count for count in DOUBLED[:7])
    against = "frames of a video, 64 tokens, 8 kept"

    def ragged(count: int, **options: object) -> Run:
        frames = list(_noise(64 * count, d).split(64))
        about = [Segment("video", 0, part, 64) for part in range(count)]
        return lambda: compress_ragged(frames, about=about, **options)

    yield Curve(against, "compress_ragged", at, lambda n: ragged(n, keep=8))
    yield Curve(against, "tolerance, shared", at, lambda n: ragged(n, tolerance=0.5, budget="shared"))
    yield Curve(against, "spread", at, lambda n: _spread(_noise(64 * n, d).view(n, 64, d), 8, (1, 64)))
    # One choice among the tokens of all frames: the product of N tokens with N / 8 kept ones.
    yield Curve(
        "frames of a video chosen from as a whole, 64 tokens, 8 kept",
        "spread",
        at,
        lambda n: _spread(_noise(64 * n, d)[None], 8 * n, (n, 64)),
        time=2.0,
        memory=2.0,
    )


def _compress(x: Tensor, keep: int, shape: tuple[int, int]) -> Run:
    return lambda: compress(x, keep)


def _spread(x: Tensor, keep: int, shape: tuple[int, int]) -> Run:
    frames, side = shape[0], math.isqrt(shape[1])
    places = Places.raster(side, side, frames=frames, batch=len(x))
    return _method(Spread(keep), x, keep, Context(places=places))


def _greedy(x: Tensor, keep: int, shape: tuple[int, int]) -> Run:
    return _method(Greedy(keep, rounds=ROUNDS), x, keep)


def _method(method: Method, x: Tensor, keep: int, context: Context | None = None) -> Run:
    return lambda: method.select(x, keep, context).apply(x, merge=True)


_WAYS = {"compress": _compress, "spread": _spread, f"greedy, {ROUNDS} rounds": _greedy}


def _prefill(count: int) -> Run:
    """Prefill of one prompt with so many pictures; what the hooks do for each of them is most of it."""
    model = _model()
    given = inputs(model, count, words=2)
    for name in ("input_ids", "attention_mask"):
        given[name] = given[name].view(1, -1)

    def run() -> object:
        with compressing(model, ApET(4)):
            return model(**given, use_cache=True, logits_to_keep=1)

    return run


@cache
def _model() -> torch.nn.Module:
    return build(tiny(KNOWN["llava-1.5-7b"]), "cpu", torch.float32)


@cache
def _all_noise(width: int) -> Tensor:
    return torch.randn(max(128 * 576, *SQUARES), width, generator=torch.Generator().manual_seed(0))


def _noise(rows: int, width: int) -> Tensor:
    """The first rows of the same noise."""
    return _all_noise(width)[:rows]
