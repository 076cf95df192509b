"""What the kernels share on the device: units, packed maxima and reading tokens.

What programs of one launch tell each other is read past the L1 cache, which other programs' writes do not
reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

_COUNTS = ["keys", "longest", "most", "number", "slices", "step"]
_LISTS = ["assignment", "basis", "begins", "best", "counts", "indices", "keeps", "largest", "met", "nearest"]
_LISTS += ["offsets", "peaks", "scores"]


def entry(kernel: Callable[..., None]) -> Any:
    """Makes a kernel that is launched from a function.

    Triton compiles anew for numbers that 16 divides, and for addresses; here for those alone that depend on
    the model: another number of images, of their tokens or of what they keep compiles nothing.
    """
    return triton.jit(kernel, do_not_specialize=_COUNTS, do_not_specialize_on_alignment=_LISTS)


@triton.jit
def extent(offsets, segment):
    """First row and length of a segment."""
    begin = tl.load(offsets + segment)
    return begin, (tl.load(offsets + segment + 1) - begin).to(tl.int32)


@triton.jit
def program_rows(offsets, ROWS: tl.constexpr):
    """What a program works on.

    Its segment, that segment's first row and length, the numbers in the segment of the program's rows, which
    of them exist, and whether any does: a launch covers as many rows of every segment as the longest has.
    """
    segment = tl.program_id(1)
    begin, length = extent(offsets, segment)
    first = tl.program_id(0) * ROWS
    local = first + tl.arange(0, ROWS)
    return segment, begin, length, local, local < length, first < length


@triton.jit
def unit_of(peaks, largest, segment):
    """Power of two that keeps a segment's squares in range; 1 where they are.

    The bounds are the core's, of squares where it has norms; the power brings the largest value to [2, 4).
    Both values are read as the bits of non-negative floats, which order as the floats do.
    """
    peak = tl.load(peaks + segment, cache_modifier=".cg").to(tl.float32, bitcast=True)
    value = tl.load(largest + segment, cache_modifier=".cg")
    ordinary = (peak > 8.271806125530277e-25) & (peak < 1.2676506002282294e30)
    power = (tl.minimum(255 - (value >> 23), 253) << 23).to(tl.float32, bitcast=True)
    return tl.where(ordinary | (value == 0), 1.0, power)


@triton.jit
def pack(value, index):
    """A key whose maximum is the largest non-negative value, of equal ones that of lowest index.

    As an integer its atomic maximum does not depend on the order in which programs run.
    """
    return (value.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (2147483647 - index).to(tl.int64)


@triton.jit
def last_index(key, length):
    """The index in a key; one that only values that are not finite could give is brought into range."""
    return tl.minimum(2147483647 - (key & 2147483647).to(tl.int32), length - 1)


@triton.jit
def first_column(unit):
    """Where the key of the first basis token stands: that of the norms in the unit that is used."""
    return tl.where(unit == 1.0, 0, 1)


@triton.jit
def basis_row(best, segment, step, unit, length, keys):
    """Number in its segment of the basis token picked in a step."""
    column = tl.where(step == 0, first_column(unit), step + 1)
    return last_index(tl.load(best + segment * keys + column, cache_modifier=".cg"), length)


@triton.jit
def basis_rows(best, segment, steps, count, unit, length, keys):
    """As `basis_row`, for a vector of steps; -1 from ``count`` on."""
    column = tl.where(steps == 0, first_column(unit), steps + 1)
    key = tl.load(best + segment * keys + column, mask=steps < count, other=0)
    return tl.where(steps < count, last_index(key, length), -1)


@triton.jit
def read_rows(x, rows, live, columns, width, unit):
    """A tile of tokens as float32 in the segment's unit; zeros outside."""
    inside = live[:, None] & (columns < width)[None, :]
    tile = tl.load(x + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)
    return tile.to(tl.float32) * unit
