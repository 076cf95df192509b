"""What every method is: a frozen, self-checking configuration that can decide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from apet.core.budget import Budget, Keep, Sharing, fit_keep
from apet.core.check import check_choice, check_flag
from apet.core.errors import ApETError
from apet.core.measure import Measured
from apet.core.precision import unaffected
from apet.core.selection import Selection
from apet.methods.checked import checked
from apet.methods.context import Context
from apet.methods.stage2 import Stage2
from apet.methods.traits import Traits

Positions = Literal["own", "contiguous"]
At = Literal["auto", "projector_input", "projector_output"]
Granularity = Literal["part", "whole"]


@dataclass(frozen=True)
class Method(Traits, ABC):
    """A way to compress visual tokens, with everything that an integration needs to know about it.

    Attributes:
        keep: Visual tokens kept of each unit in stage 1: an int (under ``apet.apply`` a unit with fewer
            tokens keeps all), a share in (0, 1], or a callable that is given the unit's `Segment` and tells
            one of these. None under a tolerance. Methods are equal if they have the same callable.
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

    Examples:
        >>> import apet, torch
        >>> method = apet.methods.Greedy(keep=12, merge=False)
        >>> isinstance(method, apet.Method), method == apet.methods.Greedy(12, merge=False)
        (True, True)
        >>> method.select(torch.randn(1, 40, 8), method.keep).indices.shape
        torch.Size([1, 12])
    """

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

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets nothing that is set around a call reach what a subclass computes, gradients included."""
        super().__init_subclass__(**options)
        for name in ("select", "measure", "choose"):
            if name in vars(cls):
                setattr(cls, name, unaffected(torch.no_grad()(vars(cls)[name])))
        if "select" in vars(cls) and "choose" not in vars(cls):
            cls.choose = Method.choose  # type: ignore[method-assign]  # that of a parent decides as the parent
        if cls.foreign():
            cls.select = checked(cls.select)  # type: ignore[method-assign]
            if vars(cls).get("choose") not in (None, Method.choose):  # that one ends in `select`
                cls.choose = checked(cls.choose)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Checks the shared fields; subclasses call it first."""
        name = type(self).__name__
        self._check_budget(name)
        check_flag("merge", self.merge, name)
        for field, literal in (("positions", Positions), ("at", At), ("unit", Granularity)):
            check_choice(field, getattr(self, field), get_args(literal), name)
        if "prompt" in self.needs and self.at == "projector_input":
            raise ApETError(
                name, "at='projector_input'", "at='auto' or 'projector_output', in the text's space"
            )
        if self.stage2 is not None:
            self._check_stage2(self.stage2, name)

    def _plain(self, name: str, check: Callable[..., Any], *bounds: int) -> None:
        """Checks a field, and keeps it as Python's own number: NumPy's would stand in the method's repr."""
        value = check(name, getattr(self, name), type(self).__name__, *bounds)
        object.__setattr__(self, name, value)

    @property
    def early(self) -> bool:
        """Whether stage 1 comes before the projector, where the model's projector allows it."""
        return self.at != "projector_output" and not self.replaces and "prompt" not in self.needs

    def decided(
        self, tokens: Tensor, keep: int, measured: Measured | None = None, context: Context | None = None
    ) -> Selection:
        """Decides by whatever the method takes: what was measured, and a context where it asks for one.

        Args:
            tokens: As in `select`.
            keep: As in `select`.
            measured: As in `choose`.
            context: What is known besides the tokens; not looked at by a method that asks for nothing.
        """
        if measured is not None:
            return self.choose(tokens, keep, measured, context)
        select: Callable[..., Selection] = self.select
        return select(tokens, keep, context) if self.needs else select(tokens, keep)

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
    def measure(self, tokens: Tensor, limit: int, context: Context | None = None) -> Measured:
        """Finds approximation errors, for a tolerance or a shared budget; for methods that have them.

        Args:
            tokens: Visual tokens ``(B, N, d)``.
            limit: Most tokens that will be kept of each image, 1 to N.
            context: As in `select`.

        Raises:
            ApETError: If the tokens are not finite.
        """
        decision = self.decided(tokens, limit, context=context)
        norms = torch.linalg.vector_norm(
            tokens, dim=-1, dtype=torch.promote_types(tokens.dtype, torch.float32)
        )
        return Measured(decision.errors, norms, decision.basis)

    def choose(
        self, tokens: Tensor, keep: int, measured: Measured | None, context: Context | None = None
    ) -> Selection:
        """Decides as `select`, where `measure` has found errors: a method that can use them overrides this.

        Args:
            tokens: As in `select`.
            keep: As in `select`.
            measured: What `measure` found of the same tokens (`Measured.batch` puts images side by side);
                None for nothing.
            context: As in `select`.
        """
        return self.decided(tokens, keep, context=context)

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

    def inside(self, stage: Stage2) -> Self:
        """The method as it decides in a stage inside the language model; itself, unless it is to differ.

        Args:
            stage: One of `later`.
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

        An image gets the same decision alone, twice in a batch and beside others. A method with `needs` has a
        third argument, ``context: Context | None = None``, and checks it (`apet.methods.context.complete`).

        Args:
            tokens: Visual tokens ``(B, N, d)`` of any float dtype; they are not changed.
            keep: Tokens to keep of each image, 1 to N. Stage 2 asks for another number than ``self.keep``,
                so it is passed.

        Returns:
            A batch of B decisions.

        Raises:
            ApETError: If the tokens are not finite, or the budget does not fit.
        """
