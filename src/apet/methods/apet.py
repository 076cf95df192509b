"""ApET: keep what a few basis tokens cannot approximate."""

from __future__ import annotations

import itertools
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Self, get_args

import torch
from torch import Tensor

from apet.core.basis import Basis
from apet.core.blocks import read_tokens
from apet.core.budget import fit_keep
from apet.core.check import check_choice, check_flag, check_int_or_none, check_tokens, check_weight
from apet.core.compress import select
from apet.core.errors import ApETError
from apet.core.measure import Measured, score
from apet.core.merge import nearest_kept
from apet.core.options import Options
from apet.core.selection import Selection
from apet.methods.base import Method
from apet.methods.context import Context
from apet.methods.presets import authors_fields, paper_budget
from apet.methods.slots import SlotOrder, Slots, in_slots
from apet.methods.stage2 import Stage2


@dataclass(frozen=True)
class ApET(Method):
    """Approximation-error guided compression (arXiv 2602.19870), as the paper describes it.

    Attributes:
        basis_size: Basis tokens M; cut to K where K is smaller.
        basis: How they are picked, ``"fps"``, ``"dpc"`` or ``"random"``. With ``"dpc"`` they are the peaks,
            tokens; in the authors' code the means of the clusters, which are none.
        start: First token of farthest point sampling, an index among the tokens that are compressed. None:
            the token of largest norm.
        ridge: Ridge of the approximation, in squared units of the tokens.
        seed: Seed of the random basis.
        merge_basis: Whether basis tokens take in dropped tokens, as all kept tokens do in the paper's text.
            False: only the others do, as in all of the authors' code, unless only basis tokens are kept.
        slots: Where the basis vectors are. ``"own"``: at the basis tokens' own places, which stay. The other
            ways are those of the authors' code, where basis tokens are ranked by their error as all are:
            ``"overwrite"``: in the places of the M lowest ranked kept tokens, in place of these (LLaVA).
            ``"blend"``: there, half and half with these (Qwen2.5-VL). ``"append"``: beside the K - M highest
            ranked ones (Video-LLaVA), at the basis tokens' own places. The tokens that were picked for the
            basis are then merged with the dropped ones, and the vectors take nothing in, whatever
            `merge_basis` says.
        slot_order: In which order those kept tokens get basis vectors: ``"place"``, or ``"rank"``, in which
            the authors' code does it inside the language model; there it is always so.
        inner_ridge: The ridge inside the language model; None: as in stage 1.

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
    slots: Slots = "own"
    slot_order: SlotOrder = "place"
    inner_ridge: float | None = None

    measures: ClassVar[bool] = True
    published: ClassVar[str] = "ApET, arXiv 2602.19870"
    departs: ClassVar[str] = (
        "follows the paper's text; the authors' code differs by model: `ApET.authors`. Farthest point "
        "sampling starts at the token of largest norm, not at a random one"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        options = self._options("ApET")
        for field in ("basis_size", "seed", "ridge"):
            object.__setattr__(self, field, getattr(options, field))
        check_flag("merge_basis", self.merge_basis, "ApET")
        if self.inner_ridge is not None:
            self._plain("inner_ridge", check_weight)
        for field, literal in (("slots", Slots), ("slot_order", SlotOrder)):
            check_choice(field, getattr(self, field), get_args(literal), "ApET")
        if self.slots != "own" and not self.merge:
            raise ApETError("ApET", f"slots={self.slots!r} with merge=False", "merge=True")
        self._plain("start", check_int_or_none, 0)
        if self.start is None:
            return
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
        selection = select(tokens, keep, self._options(), measured=measured)
        if self.slots != "own":
            self._check_slots(tokens.shape[1], keep)
            return in_slots(tokens, selection, self.slots, self.slot_order)
        return selection if self.merge_basis else _spare_basis(tokens, selection)

    def _check_slots(self, total: int, kept: int) -> None:
        """There has to be a kept token that is not one of the basis; the authors' code fails there, too.

        Raises:
            ApETError: If there is none; it names the smallest image of which there is one.
        """
        if kept > self.basis_size:
            return
        got = f"slots={self.slots!r} with {kept} of {total} tokens kept and {self.basis_size} basis tokens"
        expected = "more kept tokens than basis tokens"
        if isinstance(self.keep, float) and fit_keep(self.keep, total) == kept:
            share = self.keep
            least = next(n for n in itertools.count(total) if fit_keep(share, n) > self.basis_size)
            expected += f": an image of at least {least} tokens at keep={share}"
        raise ApETError("ApET", got, expected)

    def measure(self, tokens: Tensor, limit: int, context: Context | None = None) -> Measured:
        """Finds errors without deciding; see `Method.measure`."""
        return score(check_tokens(tokens, "compress", ndims=(3,)), limit, self._options()).measured

    def inside(self, stage: Stage2) -> Self:
        """With the ridge and the order of slots of a stage inside the language model."""
        ridge = self.ridge if self.inner_ridge is None else self.inner_ridge
        order: SlotOrder = self.slot_order if self.slots == "own" else "rank"
        if (ridge, order) == (self.ridge, self.slot_order):
            return self
        return replace(self, ridge=ridge, slot_order=order)

    def _options(self, operation: str = "compress") -> Options:
        fields = (self.basis_size, self.basis, self.start, self.seed, self.ridge)
        return Options(*fields, operation=operation)

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
        first, second = paper_budget(average, num_layers, num_tokens, "ApET.paper")
        return cls(keep=first, stage2=Stage2(layer=num_layers // 2, keep=second))

    @classmethod
    def authors(cls, model: str, average: int | None = None, num_layers: int = 32) -> Self:
        """What the authors' code does, as near as fields can say it.

        - ``"llava-1.5"``: the paper's two stages before the projector and in the middle; basis vectors
          overwrite the lowest ranked kept tokens; positions counted anew.
        - ``"llava-next"``: the same for every tile.
        - ``"video-llava"``: 22 ranked and 10 basis tokens of each frame, behind the projector.
        - ``"qwen2.5-vl"``: 30% behind the merger and no second stage, as the code runs it under the label of
          20%; basis vectors blended in. `inner_ridge` is that of its second stage, which is commented out.
          An image of fewer than 35 tokens, of which no more than the 10 basis tokens would be kept, is
          refused; the authors' code stops there with an error, too.

        What stays out: farthest point sampling starts at a token of its own generator there, here at `start`
        or at the token of largest norm, so published figures carry that chance; distances in half precision;
        cluster means as ``basis="dpc"``. LLaVA-NeXT: stage 2 prunes the base image alone there, here every
        tile. Video-LLaVA: each frame's CLS token, and the order by rank with the basis at the end. Qwen: a
        share is cut there, rounded here; tokens of equal error.

        Args:
            model: One of those names.
            average: Tokens per image, averaged over the decoder layers, for the LLaVA models; None for 64.
            num_layers: Decoder layers of the language model, for these.

        Raises:
            ApETError: If there is no such name, or the budget is not as in `paper` or fixed.
        """
        return cls(**authors_fields(model, average, num_layers))


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
