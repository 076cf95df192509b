"""Reading tokens in blocks: float32 arithmetic without a float32 copy of the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor

from apet.core.errors import ApETError, not_finite
from apet.core.finite import LARGE, SMALL, how_to_read

STREAM = "stream"
RESIDUAL = "residual"
PRODUCT = "product"

# On a CPU a block should stay in the caches from one operation to the next, and be large enough that waking
# threads, and packing the other operand of a product, cost little. Elsewhere blocks only bound memory.
CPU_BYTES = {STREAM: 1 << 22, RESIDUAL: 1 << 22, PRODUCT: 1 << 22}
OTHER_BYTES = 1 << 27


def row_blocks(
    batch: int, rows: int, width: int, device: torch.device, purpose: str = STREAM
) -> Iterator[tuple[slice, slice]]:
    """Cuts ``(batch, rows, width)`` into blocks of bounded bytes, either whole images or rows of one image.

    Matrix products on a CPU never see two images in a block: the shape of a product decides the order in
    which it sums, so an image gets the same bits alone and in a batch only if its products have the same
    shapes.

    Args:
        batch: Number of images.
        rows: Tokens of each image.
        width: Channels of each token.
        device: Where the tokens are.
        purpose: ``STREAM`` for row-wise work, ``RESIDUAL`` and ``PRODUCT`` for small and large matrix
            products.

    Yields:
        A slice of images and a slice of rows.
    """
    size = CPU_BYTES[purpose] if device.type == "cpu" else OTHER_BYTES
    limit = max(1, size // (4 * max(width, 1)))
    if rows > limit:
        # As many as are needed, of one size: a short one would leave threads idle.
        step = ceil(rows / ceil(rows / limit))
        for image in range(batch):
            for row in range(0, rows, step):
                yield slice(image, image + 1), slice(row, min(row + step, rows))
    elif rows:
        alone = device.type == "cpu" and purpose != STREAM
        images = 1 if alone else max(1, limit // rows)
        for image in range(0, batch, images):
            yield slice(image, min(image + images, batch)), slice(0, rows)


def take_rows(x: Tensor, indices: Tensor) -> Tensor:
    """Gathers ``x (B, N, ...)`` at ``indices (B, K)`` as a new ``(B, K, ...)``; differentiable in ``x``."""
    if x.shape[0] == 1:
        return x[0].index_select(0, indices[0]).unsqueeze(0)
    images = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return x[images, indices]


def sent(host: Tensor, device: torch.device) -> Tensor:
    """Copies a small tensor to a device without waiting for what that has to do before."""
    return host.to(device, non_blocking=device.type != "mps")


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiplies ``(B, n, k)`` with ``(B, k, m)``, equal rows and columns giving equal results.

    A single row or column would go to a matrix-vector routine, whose sums run in another order; it is
    doubled. One image is a plain product. Where a tensor begins in memory matters to the order as well.
    """
    rows, columns = a.shape[1], b.shape[2]
    a, b = _aligned(a), _aligned(b)
    if rows == 1:
        a = torch.cat((a, a), dim=1)
    if columns == 1:
        b = torch.cat((b, b), dim=2)
    full = (a[0] @ b[0]).unsqueeze(0) if a.shape[0] == 1 else torch.matmul(a, b)
    return full[:, :rows, :columns]


def _aligned(x: Tensor) -> Tensor:
    """The same in memory that begins as new memory does; only images in a batch of odd width do not."""
    return x.clone() if x.device.type == "cpu" and x.data_ptr() % 64 else x


def less_product(c: Tensor, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """``c - a b`` with the shapes of `product`, into ``out (B, n, m)``, which is returned."""
    if 1 in c.shape[1:]:
        return torch.sub(c, product(a, b), out=out)
    if len(c) == 1:
        torch.addmm(c[0], a[0], b[0], alpha=-1, out=out[0])
        return out
    return torch.baddbmm(c, a, b, alpha=-1, out=out)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Visual tokens ``(B, N, d)`` of any float dtype, read as float32 in units that keep squares in range.

    Attributes:
        data: The tokens as given, detached.
        scale: Power of two per image ``(B,)`` that every read is multiplied with; None where all of them
            are 1.
        norms: Euclidean norm of every token ``(B, N)``, float32, in the scaled unit.
    """

    data: Tensor
    scale: Tensor | None
    norms: Tensor
    _scratch: list[Tensor] = field(default_factory=list)

    def scratch(self, elements: int) -> Tensor:
        """Float32 memory ``(elements,)`` for a step to write to; the next step gets the same.

        One piece for all blocks of all steps: fresh memory costs more than what is computed in it.
        """
        if not self._scratch or len(self._scratch[0]) < elements:
            self._scratch[:] = [torch.empty(elements, dtype=torch.float32, device=self.data.device)]
        return self._scratch[0][:elements]

    @property
    def plain(self) -> bool:
        """Whether the data can be used as they are."""
        return self.scale is None and self.data.dtype == torch.float32

    def _read(self, rows: Tensor, images: slice) -> Tensor:
        rows = rows.to(torch.float32).contiguous()
        return rows if self.scale is None else rows * self.scale[images, None, None]

    def view(self, images: slice, rows: slice) -> Tensor:
        """A block ``(b, n, d)`` of the data, as given."""
        return self.data[images, rows]

    def read_into(self, out: Tensor, view: Tensor, images: slice) -> Tensor:
        """Reads a view of some images into a float32 tensor of its shape, and returns that."""
        out.copy_(view)
        return out if self.scale is None else out.mul_(self.scale[images, None, None])

    def block(self, images: slice, rows: slice) -> Tensor:
        """Reads a block ``(b, n, d)``; it may share the input's memory, so it is never to be written to."""
        return self._read(self.data[images, rows], images)

    def rows(self, indices: Tensor) -> Tensor:
        """Reads the tokens at ``indices (B, K)`` as a new tensor ``(B, K, d)``."""
        return self._read(take_rows(self.data, indices), slice(None))

    def directions(self, images: slice = slice(None)) -> Tensor:
        """Reads some images' tokens scaled to unit length, ``(b, N, d)``; those of zero norm stay zero."""
        norms = self.norms[images]
        length = torch.where(norms > 0, norms, torch.inf).unsqueeze(2)
        return self.block(images, slice(None)) / length

    def rows_into(self, out: Tensor, indices: Tensor, images: slice) -> Tensor:
        """As `rows`, into a float32 tensor of the result's shape, which is returned."""
        data = self.data[images]
        if self.plain and len(data) == 1:
            torch.index_select(data[0], 0, indices[0], out=out[0])
            return out
        return self.read_into(out, take_rows(data, indices), images)

    def blocks(self, purpose: str = STREAM) -> Iterator[tuple[slice, slice]]:
        """Goes over all tokens in blocks; see `row_blocks`."""
        batch, count, width = self.data.shape
        return row_blocks(batch, count, width, self.data.device, purpose)


def read_tokens(x: Tensor, check_finite: bool, operation: str) -> Tokens:
    """Prepares tokens for reading: finds norms, the unit of each image, and values that are not finite.

    Args:
        x: Tokens ``(B, N, d)``.
        check_finite: Whether to look at the values on the host, which waits for the device once, unless a
            caller has looked (`apet.core.finite`). Without a look the unit is computed, and applied.
        operation: What to name in the error.

    Raises:
        ApETError: If a value is NaN, infinite, or infinite in float32, or if all of an image vanish in it.
    """
    x = x.detach()
    plain = Tokens(x, None, x.new_empty(0))
    norms = _norms(plain)
    known = how_to_read()
    if known == "ordinary":
        return Tokens(x, None, norms)
    look = check_finite and known == "look"
    peak = norms.amax(dim=1)
    ordinary = (peak > SMALL) & (peak < LARGE)
    if look and bool(ordinary.all()):
        return Tokens(x, None, norms)
    largest = _largest(plain)
    if look and not bool(torch.isfinite(largest).all()):
        image = int(torch.isfinite(largest).logical_not().nonzero()[0])
        raise not_finite(operation, tuple(x.shape), image)
    if look and x.dtype == torch.float64 and bool((largest == 0).any()):
        vanished = (largest == 0) & ((x.amax(dim=(1, 2)) > 0) | (x.amin(dim=(1, 2)) < 0))
        if bool(vanished.any()):
            image = int(vanished.nonzero()[0])
            got = f"tokens {tuple(x.shape)} that are zero in float32 (first in image {image})"
            raise ApETError(operation, got, "values within float32's range")
    mantissa, _ = torch.frexp(largest)
    unit = (4.0 * mantissa / largest).clamp(max=2.0**126)
    scale = torch.where(ordinary | (largest == 0), torch.ones_like(unit), unit)
    scaled = Tokens(x, scale, norms)
    return Tokens(x, scale, _norms(scaled))


def _norms(tokens: Tokens) -> Tensor:
    norms = torch.empty(tokens.data.shape[:2], dtype=torch.float32, device=tokens.data.device)
    for images, rows in tokens.blocks():
        norms[images, rows] = torch.linalg.vector_norm(tokens.block(images, rows), dim=-1)
    return norms


def _largest(tokens: Tokens) -> Tensor:
    largest = torch.zeros(tokens.data.shape[0], dtype=torch.float32, device=tokens.data.device)
    for images, rows in tokens.blocks():
        peak = tokens.block(images, rows).abs().amax(dim=(1, 2))
        largest[images] = torch.maximum(largest[images], peak)
    return largest
