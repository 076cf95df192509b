"""What every method is: a frozen, self-checking configuration that can decide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor

from apet.core.budget import Budget, Keep, Sharing, check_keep, fit_keep
from apet.core.check import check_flag
from apet.core.errors import ApETError
from apet.core.measure import Measured
from apet.core.precision import unaffected
from apet.core.selection import Selection

__all__ = ["At", "Granularity", "Method", "Positions", "Stage2"]

Positions = Literal["own", "contiguous"]
At = Literal["auto", "projector_input", "projector_output"]
Granularity = Literal["part", "whole"]


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
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        if isinstance(self.layer, bool) or not isinstance(self.layer, int) or self.layer < 1:
            raise ApETError("Stage2", f"layer={self.layer!r}", "an int of at least 1")
        object.__setattr__(self, "keep", check_keep(self.keep, "Stage2"))


@dataclass(frozen=True)
class Method(ABC):
    """A way to compress visual tokens, with everything that an integration needs to know about it.

    Attributes:
        keep: Visual tokens kept of each unit in stage 1: an int (under ``apet.apply`` a unit with fewer
            tokens keeps all), a share in (0, 1], or a callable that is given the unit's `Segment` and tells
            one of these. None under a tolerance. Methods are equal if
            they have the same callable.
        tolerance: An error bound in place of a count: the fewest tokens of each unit for which what is
            dropped has at most this share of the unit's squared norms in squared error; see
            `apet.core.compress`.
        min_keep: The least tokens of a unit under a tolerance or a shared budget, an int or a share.
        max_keep: The most tokens of a unit under a tolerance or a shared budget, an int or a share.
        budget: ``"each"``: every unit has its own. ``"shared"``: the images of a prompt share what they would
            have together, and so do its videos; see `apet.core.compress_ragged`.
        merge: Whether dropped tokens are averaged into kept ones.
        positions: ``"own"``: kept tokens have the positions that they had in the full sequence.
            ``"contiguous"``: positions are counted anew over the shorter one.
        stage2: A second compression after a decoder layer, or None.
        at: Where stage 1 decides: ``"projector_input"``, so that the projector runs on the kept tokens only,
            which needs a projector that maps tokens one to one, or ``"projector_output"``. ``"auto"``: as in
            the paper, before such a projector (LLaVA-1.5), and behind any other.
        unit: What ``keep`` counts: ``"part"``, as in the paper: each tile of a tiled image and each frame of
            a video; ``"whole"``: each image and each video.
        replaces: Whether the method replaces the picture instead of choosing among its tokens, so that the
            rest of the prompt closes up behind what is left of it.

    Examples:
        >>> import apet, torch
        >>> method = apet.methods.Greedy(keep=12, merge=False)
        >>> isinstance(method, apet.Method), method == apet.methods.Greedy(12, merge=False)
        (True, True)
        >>> method.select(torch.randn(1, 40, 8), method.keep).indices.shape
        torch.Size([1, 12])
    """

    replaces: ClassVar[bool] = False

    keep: Keep | None = None
    _: KW_ONLY
    tolerance: float | None = None
    min_keep: int | float | None = None
    max_keep: int | float | None = None
    budget: Sharing = "each"
    merge: bool = True
    positions: Positions = "own"
    stage2: Stage2 | None = None
    at: At = "auto"
    unit: Granularity = "part"

    measures: ClassVar[bool] = False
    """Whether `select` tells approximation errors, which do not depend on ``keep`` once that is beyond the
    basis. A method that sets it takes a tolerance and a shared budget."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets nothing that is set around a call reach what a subclass computes, gradients included."""
        super().__init_subclass__(**options)
        for name in ("select", "measure", "choose"):
            if name in vars(cls):
                setattr(cls, name, unaffected(torch.no_grad()(vars(cls)[name])))
        if "select" in vars(cls) and "choose" not in vars(cls):
            cls.choose = Method.choose  # type: ignore[method-assign]  # that of a parent decides as the parent

    def __post_init__(self) -> None:
        """Checks the shared fields; subclasses call it first.

        Raises:
            ApETError: If a field is not valid.
        """
        name = type(self).__name__
        self._check_budget(name)
        check_flag("merge", self.merge, name)
        for field, literal in (("positions", Positions), ("at", At), ("unit", Granularity)):
            value, choices = getattr(self, field), get_args(literal)
            if value not in choices:
                raise ApETError(name, f"{field}={value!r}", "one of " + ", ".join(map(repr, choices)))
        if self.stage2 is not None:
            self._check_stage2(self.stage2, name)

    def _check_budget(self, name: str) -> None:
        allowance = self.allowance
        for field in ("keep", "tolerance", "min_keep", "max_keep"):  # as plain numbers
            object.__setattr__(self, field, getattr(allowance, field))
        if allowance.needs_errors and not self.measures:
            asked = "budget='shared'" if self.tolerance is None else f"tolerance={self.tolerance}"
            expected = "keep tokens for each: the method computes no approximation errors"
            raise ApETError(name, asked, expected)

    def _check_stage2(self, stage2: Stage2, name: str) -> None:
        if not isinstance(stage2, Stage2):
            raise ApETError(name, f"stage2={stage2!r}", "a Stage2 or None")
        # An int and a share can be compared only once the number of tokens is known.
        keep = self.keep
        if not self.allowance.needs_errors and type(stage2.keep) is type(keep) and stage2.keep > keep:
            raise ApETError(name, f"stage2.keep={stage2.keep!r}", f"at most keep={keep!r}")

    @property
    def allowance(self) -> Budget:
        """All fields that say how many tokens stay in stage 1, as one."""
        name = type(self).__name__
        return Budget(self.keep, self.tolerance, self.min_keep, self.max_keep, self.budget, name)

    @unaffected
    @torch.no_grad()
    def measure(self, tokens: Tensor, limit: int) -> Measured:
        """Finds approximation errors, for a tolerance or a shared budget; for methods that have them.

        Args:
            tokens: Visual tokens ``(B, N, d)``.
            limit: Most tokens that will be kept of each image, 1 to N.

        Raises:
            ApETError: If the tokens are not finite.
        """
        decision = self.select(tokens, limit)
        norms = torch.linalg.vector_norm(
            tokens, dim=-1, dtype=torch.promote_types(tokens.dtype, torch.float32)
        )
        return Measured(decision.errors, norms, decision.basis)

    def choose(self, tokens: Tensor, keep: int, measured: Measured | None) -> Selection:
        """Decides as `select`, where `measure` has found errors: a method that can use them overrides this.

        Args:
            tokens: As in `select`.
            keep: As in `select`.
            measured: What `measure` found of the same tokens (`Measured.batch` puts images side by side);
                None for nothing.
        """
        return self.select(tokens, keep)

    def stage1(self, total: int) -> int | None:
        """Tokens that stage 1 keeps of a unit of ``total``, for methods whose budget is not that of stage 1.

        Returns:
            The number; None where `allowance` says it.
        """
        return None

    @property
    def later(self) -> tuple[Stage2, ...]:
        """The stages inside the language model, by layer."""
        return () if self.stage2 is None else (self.stage2,)

    def fitted(self, num_layers: int) -> Self:
        """The method on a model of so many decoder layers, where a field is left to the model's depth.

        Args:
            num_layers: Decoder layers of the language model.
        """
        return self

    def behind(self, stage: Stage2, total: int) -> int:
        """Tokens that a stage inside the language model leaves of a unit of ``total``.

        Raises:
            ApETError: If the budget is not valid.
        """
        return fit_keep(stage.keep, total)

    @abstractmethod
    def select(self, tokens: Tensor, keep: int) -> Selection:
        """Decides which tokens of each image stay.

        An image gets the same decision alone, twice in a batch and beside others.

        Args:
            tokens: Visual tokens ``(B, N, d)`` of any float dtype; they are not changed.
            keep: Tokens to keep of each image, 1 to N. Stage 2 asks for another number than ``self.keep``,
                so it is passed.

        Returns:
            A batch of B decisions.

        Raises:
            ApETError: If the tokens are not finite, or the budget does not fit.
        """
