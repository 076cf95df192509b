"""The core's steps one by one: where the time of `apet.compress` goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from apet.core.basis import pick_basis
from apet.core.blocks import read_tokens
from apet.core.merge import merge_rows, nearest_kept, top_rows
from apet.core.residual import approximation_errors

STEPS = ("read", "basis", "errors", "rank", "assign", "merge")


def steps(x: Tensor, keep: int, basis_size: int, ridge: float = 1e-5) -> dict[str, Callable[[], object]]:
    """The steps by their names, each on what those before it found.

    Args:
        x: Tokens ``(B, N, d)``.
        keep: Tokens to keep of each image.
        basis_size: Basis tokens.
        ridge: Ridge.
    """
    read = partial(read_tokens, x, True, "bench ops")
    tokens = read()
    pick = partial(pick_basis, tokens, min(basis_size, keep), "fps", None, 0)
    basis = pick()
    measure = partial(approximation_errors, tokens, basis, ridge)
    errors = measure()
    rank = partial(top_rows, errors, keep, always=basis)
    kept = rank()
    assign = partial(nearest_kept, tokens, kept)
    merge = partial(merge_rows, x, assign(), keep)
    runs: tuple[Callable[[], object], ...] = (read, pick, measure, rank, assign, merge)
    return dict(zip(STEPS, runs, strict=True))
