"""The method's three steps in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.allocate import Allocation, allocate
from apet.core.basis import Basis
from apet.core.blocks import Tokens
from apet.core.budget import Budget, Keep, resolve_keep
from apet.core.check import check_flag, check_start, check_tokens
from apet.core.dispatch import kernels_for
from apet.core.errors import ApETError
from apet.core.finite import how_to_read, reading
from apet.core.measure import Measured, Scored, score
from apet.core.merge import nearest_kept, top_rows
from apet.core.options import Options
from apet.core.precision import unaffected
from apet.core.segment import Segment
from apet.core.selection import Compression, Selection


@unaffected
def compress(
    tokens: Tensor,
    keep: Keep | None = None,
    *,
    tolerance: float | None = None,
    min_keep: int | float | None = None,
    max_keep: int | float | None = None,
    basis_size: int = 10,
    basis: Basis = "fps",
    start: int | Tensor | None = None,
    seed: int = 0,
    ridge: float = 1e-5,
    merge: bool = True,
    check_finite: bool = True,
) -> Compression:
    """Compresses the visual tokens of an image, or of each image of a batch, by approximation error.

    Three steps (ApET, arXiv 2602.19870): a few basis tokens are picked; every token is approximated by
    them, and the tokens with the largest error are kept beside the basis tokens; every other token is
    averaged into the kept token with the highest cosine similarity. Kept tokens stay in their original
    order.

    The arithmetic is float32 or wider whatever the input's dtype, reads the input in blocks, and needs
    memory of order ``N (K + M)`` beyond the input and the output. The result is deterministic and, on a
    CPU, bit for bit the same for an image alone and in a batch. On other devices it is so up to rounding:
    only a choice between tokens that float32 cannot tell apart can differ.

    Exactly one of ``keep`` and ``tolerance`` is given. Under a tolerance K is the smallest number for which
    the squared errors of the dropped tokens sum to at most ``tolerance`` times the sum of all tokens' squared
    norms. The bound is a share of the norms and not of the errors: then a blank page, whose errors are small,
    keeps little, and a dense one much; as a share of the errors both would keep as much. Errors are those
    with the whole basis, so K is at least M, a larger tolerance never keeps more, and the result is that of
    ``keep=K``.

    Args:
        tokens: Visual tokens, ``(N, d)`` or ``(B, N, d)``, of any float dtype, on any device.
        keep: How many tokens to keep: an int, 1 to N, or a share of N in (0, 1]; see
            `apet.core.resolve_keep`. For one image also a callable that is given its `Segment` and tells
            one of these.
        tolerance: Share of the squared norms in (0, 1), for one image: images of a batch would keep
            different numbers, so they go to `compress_ragged`.
        min_keep: With a tolerance, the least tokens to keep (int or share); all where there are fewer. It
            holds where the two bounds cross.
        max_keep: With a tolerance, the most tokens to keep (int or share). The error may then be larger.
        basis_size: Number of basis tokens M. One that is larger than K is cut to K, since basis tokens are
            always kept.
        basis: How basis tokens are picked: ``"fps"`` (farthest point sampling), ``"dpc"`` (density peak
            clustering, whose peaks they are; time grows with N squared) or ``"random"``.
        start: First token of farthest point sampling: an int, or one per image as an integer tensor
            ``(B,)``. None is the token of largest norm, the one worst approximated before there is a basis
            (ties: the lowest index).
        seed: Seed of the random basis, which has its own generator and depends on the seed and N alone.
        ridge: Added to the diagonal of the basis tokens' Gram matrix, in squared units of the tokens. A
            basis token whose squared norm's rounding is larger than that gets as much as that rounding
            instead.
        merge: Whether dropped tokens are averaged into kept ones. False leaves the kept tokens as they are;
            the assignment is the same.
        check_finite: Whether to refuse NaN and infinite values. On an accelerator this waits for the device
            once. Without the check the result on such values is meaningless, and nothing is raised.

    Returns:
        The decision and the compressed tokens, which alone are differentiable, in the input's dtype.

    Raises:
        ApETError: If an argument is not valid, or a token is not finite. The message names it.

    Examples:
        >>> import apet, torch
        >>> tokens = torch.randn(576, 1024)
        >>> found = apet.compress(tokens, keep=64)
        >>> found.tokens.shape, found.indices.shape, found.errors.shape
        (torch.Size([64, 1024]), torch.Size([64]), torch.Size([576]))
        >>> apet.compress(torch.ones(576, 1024), tolerance=0.05).num_kept  # all alike: the basis is enough
        10
    """
    check_flag("merge", merge, "compress")
    options = Options(basis_size, basis, start, seed, ridge, check_finite)
    count = _count(tokens, Budget(keep, tolerance, min_keep, max_keep), options)
    if isinstance(count, Allocation):
        with reading(count.reading):
            selection = select(tokens, count.counts[0], options, measured=count.measured[0])
    else:
        selection = select(tokens, count, options)
    return Compression(**vars(selection), tokens=selection.apply(tokens, merge=merge))


def _count(tokens: Tensor, budget: Budget, options: Options) -> int | float | Allocation:
    """A count or a share for `select`, or that of one image, which alone can depend on its errors."""
    if not budget.needs_errors and not callable(budget.keep):
        return budget.keep  # type: ignore[return-value]
    batch = check_tokens(tokens, "compress")
    batch = batch if batch.ndim == 3 else batch.unsqueeze(0)
    if len(batch) > 1:
        got = "a callable keep" if callable(budget.keep) else f"tolerance={budget.tolerance}"
        expected = (
            "one image, or apet.compress_ragged(list(tokens), ..), since each keeps a number of its own"
        )
        raise ApETError("compress", f"{got} for a batch of {len(batch)} images", expected)
    about = Segment("image", 0, 0, batch.shape[1])
    if not budget.needs_errors:
        return budget.count(about)
    return allocate(budget, [batch[0]], [about], lambda _, x, limit: score(x, limit, options).measured)


@unaffected
@torch.no_grad()
def select(
    tokens: Tensor,
    keep: int | float,
    options: Options | None = None,
    *,
    measured: Measured | None = None,
) -> Selection:
    """Decides as `compress` does for a count or a share, without carrying it out; same errors.

    ``measured`` is what `apet.core.measure.score` found of the same tokens with the same options, as for a
    tolerance: it is not found again, unless the basis was cut to fewer tokens than are kept.
    """
    options = options or Options()
    x = check_tokens(tokens, "compress")
    x = x if x.ndim == 3 else x.unsqueeze(0)
    batch, total, _ = x.shape
    kept = resolve_keep(keep, total, "compress")
    basis_size = min(options.basis_size, kept)
    kernels = kernels_for(x, batch, "compress", options.basis, basis_size)
    if kernels is not None:
        first = check_start(options.start, (batch, total), x.device, options.basis)
        look = options.check_finite and how_to_read() == "look"
        chosen = Selection(*kernels.select_dense(x, kept, basis_size, first, options.ridge, look))
        return chosen if tokens.ndim == 3 else chosen.unbatch()[0]
    if measured is not None and measured.basis.shape[1] == basis_size:
        read = Tokens(x.detach(), measured.scale, measured.norms)
        scored = Scored(read, measured.basis, measured.errors)
    else:
        scored = score(x, kept, options)
    errors, read = scored.errors, scored.read
    indices = top_rows(errors, kept, always=scored.basis)
    assignment = nearest_kept(read, indices)
    if read.scale is not None:
        errors = errors / read.scale.unsqueeze(1)
    result = Selection(indices=indices, assignment=assignment, errors=errors, basis=scored.basis)
    return result if tokens.ndim == 3 else result.unbatch()[0]
