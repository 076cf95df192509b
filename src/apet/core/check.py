"""Checks of what the user passes to the core."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import torch
from torch import Tensor

from apet.core.basis import Basis
from apet.core.blocks import sent
from apet.core.errors import ApETError
from apet.core.words import shortened

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Dtypes of tokens: those that torch computes with everywhere."""
SEEDS = 2**63 - 1
"""The largest seed that torch takes."""


def check_tokens(tokens: object, operation: str, ndims: tuple[int, ...] = (2, 3)) -> Tensor:
    """Returns tokens of a float dtype, with the right number of dimensions and none of them empty."""
    shapes = " or ".join({2: "(N, d)", 3: "(B, N, d)"}[n] for n in ndims)
    if not isinstance(tokens, torch.Tensor):
        raise ApETError(operation, f"tokens of type {type(tokens).__name__}", f"a tensor {shapes}")
    if tokens.layout != torch.strided or tokens.device.type == "meta":
        got = "tokens without values" if tokens.device.type == "meta" else f"tokens of layout {tokens.layout}"
        raise ApETError(operation, got, "a dense tensor of values")
    if tokens.dtype not in FLOATS:
        raise ApETError(operation, f"tokens of dtype {tokens.dtype}", "a float dtype of 16, 32 or 64 bits")
    if tokens.ndim not in ndims:
        raise ApETError(operation, f"tokens of shape {tuple(tokens.shape)}", f"shape {shapes}")
    if tokens.numel() == 0:
        raise ApETError(
            operation, f"empty tokens of shape {tuple(tokens.shape)}", "at least one token and one channel"
        )
    return tokens


def check_choice(name: str, value: object, choices: Sequence[str], operation: str) -> None:
    """Checks that a value is one of some names."""
    if value not in choices:
        raise ApETError(operation, f"{name}={value!r}", "one of " + ", ".join(map(repr, choices)))


def check_int(name: str, value: object, operation: str, least: int = 1, most: int | None = None) -> int:
    """Returns an int between two bounds; no bool, which is one in Python."""
    fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):  # type: ignore[operator]
        bound = "2**63 - 1" if most == SEEDS else most
        expected = f"an int of at least {least}" if most is None else f"an int between {least} and {bound}"
        raise ApETError(operation, f"{name}={value!r}", expected)
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_weight(name: str, value: object, operation: str) -> float:
    """Returns a finite float that is not negative."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not 0.0 <= number < math.inf:
        raise ApETError(operation, f"{name}={shortened(repr(value))}", "a finite number of at least 0")
    return number


def check_int_or_none(name: str, value: object, operation: str, least: int = 1) -> int | None:
    """Returns an int of at least so much, or None."""
    try:
        return None if value is None else check_int(name, value, operation, least)
    except ApETError as error:
        raise ApETError(operation, error.got, f"None or {error.expected}") from None


def check_flag(name: str, value: object, operation: str) -> bool:
    """Returns a bool."""
    if not isinstance(value, bool):
        raise ApETError(operation, f"{name}={value!r}", "True or False")
    return value


def check_start(start: object, shape: tuple[int, int], device: torch.device, basis: Basis) -> Tensor | None:
    """Returns the first token of FPS of each image, ``(B,)`` int64 on the device; None stays None.

    A tensor on a device is waited for.
    """
    if start is None:
        return None
    batch, total = shape
    if basis != "fps":
        raise ApETError("compress", f"start={start!r} with basis={basis!r}", "a start with basis='fps' only")
    expected = f"an int, or an integer tensor of shape ({batch},), between 0 and {total - 1}"
    if isinstance(start, torch.Tensor):
        if start.is_floating_point() or start.is_complex() or start.dtype == torch.bool:
            raise ApETError("compress", f"start of dtype {start.dtype}", expected)
        if start.ndim != 0 and tuple(start.shape) != (batch,):
            raise ApETError("compress", f"start of shape {tuple(start.shape)}", expected)
        host = start.detach().to("cpu").to(torch.int64).expand(batch)
        low, high = int(host.min()), int(host.max())
        first = sent(host, device)
    elif isinstance(start, numbers.Integral) and not isinstance(start, bool):
        low = high = int(start)
        first = (
            torch.full((batch,), low, dtype=torch.int64, device=device)
            if 0 <= low < total
            else torch.empty(0, device="cpu")
        )
    else:
        raise ApETError("compress", f"start={start!r}", expected)
    if low < 0 or high >= total:
        raise ApETError("compress", f"start={low if low < 0 else high} for {total} tokens", expected)
    return first


def check_layers(layers: object, operation: str, three: bool = False) -> None:
    """Checks where later stages begin: None, or a tuple of ascending layers, three of them if so asked."""
    if layers is None:
        return
    given = layers if isinstance(layers, tuple) and all(type(layer) is int for layer in layers) else ()
    ascending = given and given[0] >= 1 and list(given) == sorted(set(given))
    if not ascending or (three and len(given) != 3):
        expected = f"None or a tuple of {'three ' if three else ''}ascending ints of at least 1"
        raise ApETError(operation, f"layers={layers!r}", expected)
