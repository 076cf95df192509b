"""What methods of other packages decide is looked at, so that a wrong decision is an error and no answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.core.selection import Selection


def checked(decide: Callable[..., Any]) -> Callable[..., Any]:
    """A method's ``select`` or ``choose``, which gets a copy of the tokens and whose answer is checked.

    That costs a copy and, on an accelerator, a wait; the methods of this library are tested instead.
    """
    if getattr(decide, "checks", False):
        return decide

    @functools.wraps(decide)
    def run(method: Any, tokens: Tensor, keep: int, *rest: Any, **more: Any) -> Any:
        copy = tokens.detach().clone() if isinstance(tokens, torch.Tensor) else tokens
        decision = decide(method, copy, keep, *rest, **more)
        check_selection(decision, type(method).__name__, (*copy.shape[:2], min(keep, copy.shape[1])))
        return decision

    run.checks = True  # type: ignore[attr-defined]
    return run


def check_indices(indices: object, name: str, sizes: tuple[int, int, int]) -> None:
    """Checks kept tokens: ``(B, K)`` int64, ascending, 0 to N - 1.

    Args:
        indices: What a method gave.
        name: The method's.
        sizes: B, N and K.
    """
    batch, total, kept = sizes
    _raise_first([_in_order(_tensor(indices, "indices", (batch, kept), torch.int64, name), total)], name)


def check_selection(found: object, name: str, sizes: tuple[int, int, int]) -> None:
    """Checks a decision on a batch.

    Args:
        found: What a method gave.
        name: The method's.
        sizes: B, N and K.
    """
    if not isinstance(found, Selection):
        raise ApETError(name, f"a decision of type {type(found).__name__}", "an apet.Selection")
    batch, total, kept = sizes
    indices = _tensor(found.indices, "indices", (batch, kept), torch.int64, name)
    assignment = _tensor(found.assignment, "assignment", (batch, total), torch.int64, name)
    errors = _tensor(found.errors, "errors", (batch, total), torch.float32, name)
    basis = _tensor(found.basis, "basis", (batch, None), torch.int64, name)
    slots = assignment.gather(1, indices.clamp(0, total - 1))
    conditions = [
        _in_order(indices, total),
        (_within(assignment, kept), "an assignment out of range", f"slots of 0 to {kept - 1}"),
        (
            (slots == torch.arange(kept, device=slots.device)).all(),
            "an assignment of kept tokens to others",
            "each kept token's own slot",
        ),
        (torch.isfinite(errors).all(), "errors that are not finite", "finite ones"),
        (_within(basis, total), "a basis out of range", f"tokens of 0 to {total - 1}"),
    ]
    if found.mix is not None:
        mix = _tensor(found.mix, "mix", (batch, kept, total), torch.float32, name)
        conditions.append((torch.isfinite(mix).all(), "a mix that is not finite", "finite weights"))
    _raise_first(conditions, name)


_Condition = tuple[Tensor, str, str]
"""Whether something holds, what was given if not, and what would be right."""


def _raise_first(conditions: list[_Condition], name: str) -> None:
    """Looks at all at once: one wait."""
    holds = torch.stack([condition[0] for condition in conditions]).tolist()
    for fine, (_, got, expected) in zip(holds, conditions, strict=True):
        if not fine:
            raise ApETError(name, got, expected)


def _in_order(indices: Tensor, total: int) -> _Condition:
    holds = _within(indices, total) & (indices.diff(dim=1) > 0).all()
    return holds, "indices out of order or range", f"ascending ones of 0 to {total - 1}, each once"


def _within(values: Tensor, end: int) -> Tensor:
    return ((values >= 0) & (values < end)).all()


def _tensor(value: object, what: str, shape: tuple[int | None, ...], dtype: torch.dtype, name: str) -> Tensor:
    given = f"{what} of type {type(value).__name__}"
    if isinstance(value, torch.Tensor):
        fits = value.ndim == len(shape) and all(
            want in (None, size) for want, size in zip(shape, value.shape, strict=True)
        )
        if fits and value.dtype == dtype:
            return value
        given = f"{what} of shape {tuple(value.shape)}, {value.dtype}"
    sizes = ", ".join("M" if size is None else str(size) for size in shape)
    raise ApETError(name, given, f"a tensor ({sizes}), {dtype}")
