"""ApET: keep what a few basis tokens cannot approximate."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from apet.core.basis import Basis
from apet.core.blocks import read_tokens
from apet.core.check import (
    check_basis,
    check_basis_size,
    check_flag,
    check_ridge,
    check_seed,
    check_tokens,
)
from apet.core.compress import select
from apet.core.errors import ApETError
from apet.core.measure import Measured, score
from apet.core.merge import nearest_kept
from apet.core.selection import Selection
from apet.methods.base import Method
from apet.methods.context import Context
from apet.methods.stage2 import Stage2

__all__ = ["ApET"]


@dataclass(frozen=True)
class ApET(Method):
    """Approximation-error guided compression (arXiv 2602.19870), as the paper describes it.

    Attributes:
        basis_size: Basis tokens M; cut to K where K is smaller.
        basis: How they are picked, ``"fps"``, ``"dpc"`` or ``"random"``.
        start: First token of farthest point sampling, an index among the tokens that are compressed. None:
            the token of largest norm.
        ridge: Ridge of the approximation, in squared units of the tokens.
        seed: Seed of the random basis.
        merge_basis: Whether basis tokens take in dropped tokens, as all kept tokens do (so does the authors'
            code for Video-LLaVA). False: only the others do (their code for LLaVA and Qwen), unless only
            basis tokens are kept.

    Examples:
        >>> import apet
        >>> apet.ApET(keep=64).keep
        64
        >>> apet.ApET.paper(64, num_layers=32).stage2  # 96 tokens before it: 64 on average
        Stage2(layer=16, keep=32)
        >>> apet.ApET(tolerance=0.4, min_keep=16, max_keep=0.5).keep is None
        True
    """

    _: KW_ONLY
    basis_size: int = 10
    basis: Basis = "fps"
    start: int | None = None
    ridge: float = 1e-5
    seed: int = 0
    merge_basis: bool = True

    measures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        super().__post_init__()
        check_basis_size(self.basis_size, "ApET")
        check_basis(self.basis, "ApET")
        check_ridge(self.ridge, "ApET")
        check_seed(self.seed, "ApET")
        check_flag("merge_basis", self.merge_basis, "ApET")
        if self.start is None:
            return
        if isinstance(self.start, bool) or not isinstance(self.start, int) or self.start < 0:
            raise ApETError("ApET", f"start={self.start!r}", "None or an int of at least 0")
        if self.basis != "fps":
            raise ApETError(
                "ApET", f"start={self.start} with basis={self.basis!r}", "a start with basis='fps' only"
            )
        if self.stage2 is not None:
            name = "min_keep" if self.allowance.needs_errors else "keep"
            least = getattr(self, name)
            if least is None or (isinstance(least, int) and self.start >= least):
                expected = f"less than {name}={least}, since stage 2 starts among the tokens kept by stage 1"
                raise ApETError("ApET", f"start={self.start} with stage2", expected)

    def select(self, tokens: Tensor, keep: int) -> Selection:
        """Decides by approximation error; see `apet.core.compress` and `Method.select`."""
        return self.choose(tokens, keep, None)

    def choose(
        self, tokens: Tensor, keep: int, measured: Measured | None, context: Context | None = None
    ) -> Selection:
        """Decides by errors that were found already; see `Method.choose`."""
        selection = select(tokens, keep, measured=measured, **self._options)
        return selection if self.merge_basis else _spare_basis(tokens, selection)

    def measure(self, tokens: Tensor, limit: int, context: Context | None = None) -> Measured:
        """Finds errors without deciding; see `Method.measure`."""
        return score(check_tokens(tokens, "compress", ndims=(3,)), limit, **self._options).measured

    @property
    def _options(self) -> dict[str, Any]:
        names = ("basis_size", "basis", "start", "seed", "ridge")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def paper(cls, average: int, num_layers: int, num_tokens: int = 576) -> Self:
        """The paper's two-stage budgets, where "64 tokens" is an average over decoder layers.

        Half as many again up to the middle layer, half as many after it. For 64 tokens and 32 layers that
        is 96 tokens up to layer 16 and 32 after it: ``(96 * 16 + 32 * 16) / 32 = 64``. Likewise 192 is 288
        then 96, 128 is 192 then 64.

        Args:
            average: Visual tokens per image, averaged over the decoder layers.
            num_layers: Decoder layers of the language model.
            num_tokens: Visual tokens per image without compression.

        Raises:
            ApETError: If the budgets or the middle layer are not whole, or stage 1 would keep more than
                there are.
        """
        for name, value in (("average", average), ("num_layers", num_layers), ("num_tokens", num_tokens)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ApETError("ApET.paper", f"{name}={value!r}", "an int of at least 1")
        if average % 2:
            raise ApETError(
                "ApET.paper", f"average={average}", "an even number, since half of it is kept at the end"
            )
        if num_layers % 2:
            raise ApETError(
                "ApET.paper", f"num_layers={num_layers}", "an even number, since stage 2 is in the middle"
            )
        first, second = average * 3 // 2, average // 2
        if first > num_tokens:
            got = f"average={average}, which keeps {first} tokens in stage 1"
            raise ApETError("ApET.paper", got, f"at most num_tokens={num_tokens}")
        return cls(keep=first, stage2=Stage2(layer=num_layers // 2, keep=second))


def _spare_basis(tokens: Tensor, chosen: Selection) -> Selection:
    """The same choice where dropped tokens go to the nearest kept token that is not in the basis."""
    kept, size = chosen.indices.shape[1], chosen.basis.shape[1]
    if kept == size:
        return chosen
    in_basis = torch.zeros_like(chosen.assignment, dtype=torch.uint8).scatter_(1, chosen.basis, 1)
    # Slots of the others, in order, then those of the basis.
    slots = in_basis.gather(1, chosen.indices).argsort(dim=1, stable=True)
    read = read_tokens(tokens, check_finite=False, operation="compress")
    nearest = nearest_kept(read, chosen.indices.gather(1, slots[:, : kept - size]))
    own = torch.arange(kept, device=slots.device).expand_as(chosen.indices)
    assignment = slots.gather(1, nearest).scatter(1, chosen.indices, own)
    return replace(chosen, assignment=assignment)
