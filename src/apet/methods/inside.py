"""Methods that drop nothing before the language model, and once inside it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from apet.core.budget import check_keep
from apet.core.check import check_int
from apet.core.errors import ApETError
from apet.methods.picker import Informed
from apet.methods.stage2 import Stage2


@dataclass(frozen=True)
class Inside(Informed):
    """A method with one stage, behind an early decoder layer.

    Attributes:
        layer: Layers that see all tokens, at least 1.
    """

    _: KW_ONLY
    layer: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_keep(self.keep, name)  # no callable
        if self.stage2 is not None:
            raise ApETError(name, f"stage2={self.stage2!r}", "None: it sets its stages itself")
        self._plain("layer", check_int)

    def stage1(self, total: int) -> int:
        """Everything enters the text model."""
        return total

    @property
    def later(self) -> tuple[Stage2, ...]:
        """One stage, behind ``layer`` layers."""
        return (Stage2(self.layer, check_keep(self.keep)),)
