"""Budgets: from what a user writes to a number of kept tokens."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

from apet.core.errors import ApETError
from apet.core.segment import Segment

Keep = int | float | Callable[[Segment], int | float]
"""Tokens, a share of the tokens, or what tells one of them for a segment."""
Sharing = Literal["each", "shared"]

_EXPECTED = "an int of at least 1 (tokens) or a float in (0, 1] (share of the tokens)"


def check_keep(keep: object, operation: str = "compress", name: str = "keep") -> int | float:
    """Checks a budget as far as that goes without knowing the number of tokens.

    Args:
        keep: Tokens (any integer type) or share (any real type). ``True`` and ``False`` are neither.
        operation: What to name in the error.
        name: The argument to name in the error.

    Returns:
        The budget as a plain ``int`` or ``float``.

    Raises:
        ApETError: If it is neither a positive int nor a float in (0, 1].
    """
    if isinstance(keep, bool) or not isinstance(keep, numbers.Real):
        raise ApETError(operation, f"{name}={keep!r} of type {type(keep).__name__}", _EXPECTED)
    if isinstance(keep, numbers.Integral):
        if keep < 1:
            raise ApETError(operation, f"{name}={int(keep)}", _EXPECTED)
        return int(keep)
    share = float(keep)
    if not 0.0 < share <= 1.0 or math.isnan(share):
        raise ApETError(operation, f"{name}={share!r}", _EXPECTED)
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


def fit_keep(keep: int | float, n: int, operation: str = "compress") -> int:
    """Turns a budget into a number of kept tokens, where pictures may be smaller than their budget.

    As `resolve_keep`, but a count above ``n`` keeps all ``n``.
    """
    keep = check_keep(keep, operation)
    return resolve_keep(min(keep, n) if isinstance(keep, int) else keep, n, operation)


def _check_tolerance(tolerance: object, operation: str) -> float:
    expected = "a float in (0, 1) (share of the squared norms)"
    if isinstance(tolerance, bool) or not isinstance(tolerance, numbers.Real):
        raise ApETError(operation, f"tolerance={tolerance!r} of type {type(tolerance).__name__}", expected)
    share = float(tolerance)
    if not 0.0 < share < 1.0:
        raise ApETError(operation, f"tolerance={share!r}", expected)
    return share


@dataclass(frozen=True)
class Budget:
    """All that a user says about how many tokens stay: a count or an error bound, for each or shared.

    Attributes:
        keep: Tokens per segment, or None under a tolerance.
        tolerance: The error bound; see `apet.core.compress`.
        min_keep: Least tokens of a segment, an int or a share; None for no bound but the basis.
        max_keep: Most tokens of a segment, an int or a share; None for all.
        sharing: ``"each"`` or ``"shared"``; see `apet.core.compress_ragged`.
        operation: What to name in errors.
    """

    keep: Keep | None
    tolerance: float | None = None
    min_keep: int | float | None = None
    max_keep: int | float | None = None
    sharing: Sharing = "each"
    operation: str = field(default="compress", compare=False)

    def __post_init__(self) -> None:
        if self.sharing not in get_args(Sharing):
            raise ApETError(self.operation, f"budget={self.sharing!r}", "'each' or 'shared'")
        expected = "exactly one of keep and tolerance"
        if self.keep is not None and self.tolerance is not None:
            raise ApETError(self.operation, f"keep={self.keep!r} and tolerance={self.tolerance!r}", expected)
        if self.tolerance is not None:
            object.__setattr__(self, "tolerance", _check_tolerance(self.tolerance, self.operation))
        elif self.keep is None:
            raise ApETError(self.operation, "neither keep nor tolerance", expected)
        elif not callable(self.keep):
            object.__setattr__(self, "keep", check_keep(self.keep, self.operation))
        for name in ("min_keep", "max_keep"):
            value = getattr(self, name)
            if value is None:
                continue
            if not self.needs_errors:
                raise ApETError(
                    self.operation, f"{name}={value!r} with keep", "it with tolerance or budget='shared' only"
                )
            object.__setattr__(self, name, check_keep(value, self.operation, name))
        ordered = [name for name in ("min_keep", "keep", "max_keep") if getattr(self, name) is not None]
        for low, high in itertools.combinations(ordered, 2):
            least, most = getattr(self, low), getattr(self, high)
            # An int and a share can be compared only once the number of tokens is known.
            if type(least) is type(most) and not callable(least) and least > most:
                raise ApETError(self.operation, f"{low}={least!r}", f"at most {high}={most!r}")

    @property
    def needs_errors(self) -> bool:
        """Whether the number of tokens depends on their approximation errors."""
        return self.tolerance is not None or self.sharing == "shared"

    def count(self, segment: Segment, name: str | None = None, *, fit: bool = False) -> int:
        """The tokens that ``keep`` gives to a segment.

        Args:
            segment: The segment.
            name: What to call it in errors.
            fit: Whether a count above its tokens keeps them all, in place of an error.

        Raises:
            ApETError: If there are not so many, or a callable's answer is no budget; it names the segment.
        """
        keep, resolve = self.keep(segment) if callable(self.keep) else self.keep, resolve_keep
        if fit:
            resolve = fit_keep
        try:
            return resolve(keep, segment.tokens, self.operation)  # type: ignore[arg-type]
        except ApETError as error:
            got = f"{error.got} ({name or segment})"
            raise ApETError(error.operation, got, error.expected) from None

    def bounds(self, tokens: int) -> tuple[int, int]:
        """Least and most tokens to keep of so many: bounds beyond what there is are met by all.

        Where an int and a share cross on a small image, ``min_keep`` holds.
        """
        least, most = (
            default if bound is None else fit_keep(bound, tokens)
            for bound, default in ((self.min_keep, 1), (self.max_keep, tokens))
        )
        return least, max(least, most)
