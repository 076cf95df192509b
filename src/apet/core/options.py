"""How basis tokens are picked and errors found, as one checked value."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from apet.core.basis import BASES, Basis
from apet.core.check import SEEDS, check_choice, check_flag, check_int, check_weight


@dataclass(frozen=True, eq=False)
class Options:
    """The arguments of `apet.compress` of these names.

    Attributes:
        basis_size: Basis tokens M.
        basis: How they are picked.
        start: First token of farthest point sampling, of all images or of each, ``(B,)``.
        seed: Seed of the random basis.
        ridge: Ridge of the approximation, in squared units of the tokens.
        check_finite: Whether to refuse values that are not finite.
        operation: What errors name.

    Raises:
        ApETError: If one is not valid; a start is looked at with the tokens.
    """

    basis_size: int = 10
    basis: Basis = "fps"
    start: int | Tensor | None = None
    seed: int = 0
    ridge: float = 1e-5
    check_finite: bool = True
    operation: str = "compress"

    def __post_init__(self) -> None:
        check_choice("basis", self.basis, BASES, self.operation)
        checked = {
            "basis_size": check_int("basis_size", self.basis_size, self.operation),
            "seed": check_int("seed", self.seed, self.operation, 0, SEEDS),
            "ridge": check_weight("ridge", self.ridge, self.operation),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        check_flag("check_finite", self.check_finite, self.operation)
