"""The method's steps as Triton kernels, for CUDA GPUs. `apet.core`, which they agree with, is their oracle.

`apet` offers them to the core, and they are imported when used; `apet.core.dispatch` says when that is. One
subject per file: `segments` (ragged layout), `norms` and `farthest` (step 1), `span` and `residual` (step 2),
`ranks`, `assign` and `mean` (step 3), `decide` and `calls` (the three together).

Programs of a launch never wait for each other, and share results by integer atomics alone. So the result does
not depend on the grid: an image gets the same bits alone and in a batch.
"""

from apet.kernels.calls import mean_rows, select_dense, select_ragged

__all__ = ["mean_rows", "select_dense", "select_ragged"]
