"""A second compression, inside the language model."""

from __future__ import annotations

from dataclasses import dataclass

from apet.core.budget import check_keep
from apet.core.check import check_int


@dataclass(frozen=True)
class Stage2:
    """A second compression inside the language model, in prefill only.

    Attributes:
        layer: Decoder layers with index ``layer`` or more see the shorter sequence; at least 1. ``16`` is
            the paper's choice for 32 layers.
        keep: Visual tokens per unit after it: an int, or a share in (0, 1] of the unit's *original* tokens,
            those before stage 1. Of a unit with fewer left an int keeps all. A share has to be at most what
            stage 1 keeps; behind a tolerance or a shared budget, which decide for themselves, it is cut to
            that.

    Examples:
        >>> import apet
        >>> apet.ApET(keep=96, stage2=apet.Stage2(layer=16, keep=32)).stage2.layer
        16
    """

    layer: int
    keep: int | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", check_int("layer", self.layer, "Stage2"))
        object.__setattr__(self, "keep", check_keep(self.keep, "Stage2"))
