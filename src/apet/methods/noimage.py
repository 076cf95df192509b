"""No image: what a model answers from the question alone."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.budget import Keep
from apet.core.check import check_tokens
from apet.core.errors import ApETError
from apet.core.selection import Selection
from apet.methods.base import Method


@dataclass(frozen=True)
class NoImage(Method):
    """The prompt without its images: no visual token reaches the text model, newline tokens included.

    Text around an image stays, and positions are those of the text alone. The vision encoder still runs, so
    its time is no part of what this control saves.

    Attributes:
        keep: 0.
    """

    keep: Keep | None = 0
    _: KW_ONLY
    merge: bool = False
    replaces: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for field, value in (("merge", self.merge), ("stage2", self.stage2)):
            if value:
                raise ApETError(
                    "NoImage", f"{field}={value!r}", "no such option: nothing is left of an image"
                )
        super().__post_init__()

    def _check_budget(self, name: str) -> None:
        for field, none in (("tolerance", None), ("min_keep", None), ("max_keep", None), ("budget", "each")):
            if getattr(self, field) != none:
                expected = f"{none!r}: nothing is kept, and there are no approximation errors"
                raise ApETError(name, f"{field}={getattr(self, field)!r}", expected)
        if isinstance(self.keep, bool) or self.keep != 0:
            raise ApETError(name, f"keep={self.keep!r}", "0, which need not be said")

    def stage1(self, total: int) -> int:
        """Nothing stays."""
        return 0

    def select(self, tokens: Tensor, keep: int = 0) -> Selection:
        """Drops every token: no index, and an assignment of -1, to no slot at all.

        Raises:
            ApETError: If the tokens are none, or the budget is not 0.
        """
        batch, total, _ = check_tokens(tokens, "NoImage", ndims=(3,)).shape
        if keep != 0:
            raise ApETError("NoImage", f"keep={keep!r}", "0")
        none = torch.empty((batch, 0), dtype=torch.int64, device=tokens.device)
        nowhere = torch.full((batch, total), -1, device=tokens.device)
        return Selection(
            none, nowhere, torch.zeros((batch, total), dtype=torch.float32, device=tokens.device), none
        )
