"""The method's steps on CUDA GPUs, by Triton and torch. `apet.core`, which they agree with, is their oracle.

`apet` offers them to the core, and they are imported when used; `apet.core.dispatch` says when that is. One
subject per file: `segments` (ragged layout), `farthest` (norms and step 1), `span` and `residual` (step 2),
`assign` and `mean` (step 3), `calls` (the three together).

Programs share results by integer atomics alone, and a token's sums depend on its width alone. So the result
does not depend on the grid: an image gets the same bits alone and in a batch.
"""

from apet.kernels.calls import mean_rows, select_dense, select_ragged

__all__ = ["mean_rows", "select_dense", "select_ragged"]
