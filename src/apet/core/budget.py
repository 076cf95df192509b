"""Budgets: from what a user writes to a number of kept tokens."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction

from apet.core.errors import ApETError

__all__ = ["check_keep", "resolve_keep"]

_EXPECTED = "an int of at least 1 (tokens) or a float in (0, 1] (share of the tokens)"


def check_keep(keep: object, operation: str = "compress") -> int | float:
    """Checks a budget as far as that goes without knowing the number of tokens.

    Args:
        keep: Tokens (any integer type) or share (any real type). ``True`` and ``False`` are neither.
        operation: What to name in the error.

    Returns:
        The budget as a plain ``int`` or ``float``.

    Raises:
        ApETError: If it is neither a positive int nor a float in (0, 1].
    """
    if isinstance(keep, bool) or not isinstance(keep, numbers.Real):
        raise ApETError(operation, f"keep={keep!r} of type {type(keep).__name__}", _EXPECTED)
    if isinstance(keep, numbers.Integral):
        if keep < 1:
            raise ApETError(operation, f"keep={int(keep)}", _EXPECTED)
        return int(keep)
    share = float(keep)
    if not 0.0 < share <= 1.0 or math.isnan(share):
        raise ApETError(operation, f"keep={share!r}", _EXPECTED)
    return share


def resolve_keep(keep: int | float, n: int, operation: str = "compress") -> int:
    """Turns a budget into a number of kept tokens.

    The one rounding rule of the library: a share of ``n`` tokens is ``keep * n`` rounded to the nearest
    integer, halves up, and at least 1. The product is taken of the decimal that the user wrote (``0.145 *
    100`` is 14.5 and gives 15), not of its nearest binary fraction.

    Args:
        keep: Tokens (int, 1 to ``n``) or share (float in (0, 1]); ``1`` is one token and ``1.0`` is all of
            them.
        n: Number of tokens of the image, tile or frame.
        operation: What to name in the error.

    Returns:
        The number of tokens to keep, between 1 and ``n``.

    Raises:
        ApETError: If the budget is not valid or asks for more than ``n`` tokens.
    """
    keep = check_keep(keep, operation)
    if isinstance(keep, int):
        if keep > n:
            raise ApETError(operation, f"keep={keep} for {n} tokens", f"an int between 1 and {n}")
        return keep
    return max(1, math.floor(Fraction(repr(keep)) * n + Fraction(1, 2)))
