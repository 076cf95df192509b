"""The tensor core: decide which visual tokens stay, and carry the decision out. It imports torch alone.

One subject per file: `budget` (how many), `basis` and `dpc` (step 1), `residual` (step 2), `measure` (both),
`merge` (step 3), `blocks` (reading in float32 without a copy), `selection` (the decision), `dispatch`
(this or the kernels), `compress` and `ragged` (the calls). Where errors decide how many stay: `segment` (of
what), `frames` (what a video repeats) and `allocate` (the bound or the total). Around them: `precision`
(nothing that is set for all of torch changes a bit) and `finite` (one look at many tensors).
"""

from apet.core.basis import BASES, Basis
from apet.core.budget import Keep, Sharing, check_keep, resolve_keep
from apet.core.compress import compress, select
from apet.core.errors import ApETError
from apet.core.grouping import group_segments
from apet.core.options import Options
from apet.core.ragged import compress_ragged
from apet.core.segment import Segment
from apet.core.selection import Compression, Selection

__all__ = [
    "BASES",
    "ApETError",
    "Basis",
    "Compression",
    "Keep",
    "Options",
    "Segment",
    "Selection",
    "Sharing",
    "check_keep",
    "compress",
    "compress_ragged",
    "group_segments",
    "resolve_keep",
    "select",
]
