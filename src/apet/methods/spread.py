"""Spread: keep tokens that differ most in direction and place, and merge the others into them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product, sent, take_rows
from apet.core.check import check_int_or_none, check_weight
from apet.core.errors import ApETError
from apet.methods.base import At
from apet.methods.context import Context, Places
from apet.methods.picker import Informed, Picked

_CANDIDATES = 4
"""Candidates of a round for each token that it picks."""


@dataclass(frozen=True)
class Spread(Informed):
    """Farthest points on directions and places, in rounds, with the dropped tokens merged into them.

    What this project recommends: on both models that it measures it is ahead of every other attention-free
    method at small budgets, or level with it. The rule is DivPrune's (arXiv 2503.02175): each next token is
    the one that is least like the kept token that it is most like. Four things differ:

    - *Places.* From the cosine of two tokens ``place`` times ``1 - g`` is taken off, where ``g`` is a
      Gaussian of their distance in the picture and, in a video, in time. Near tokens count as more alike than
      far ones, and beyond a few ``reach`` all are as far, as tiles of one picture are from each other.
    - *Rounds.* The tokens least like all that are kept, four times as many as the round picks, are compared
      with each other and picked from one by one; then all tokens are compared with what was picked, in one
      product. So it takes ``rounds`` passes over the tokens instead of K, and time grows with N.
    - *Start.* It is the token of largest norm, as in ApET, so that no pairs are compared for it.
    - *Merging.* Dropped tokens are averaged into the kept token that they are most like, which the search
      has found on the way.

    It decides behind the projector, on what the language model will see. Ties go to the lowest index, as far
    as float32 tells them: copies of one token are as like each other as its rounding has it. A token of zero
    norm is like none, and so is one smaller than 1e-19 of its image's largest, whose square float32 loses.
    ``Selection.errors`` are the distances, 1 less the likeness, to the kept token that each is most like:
    what merging blurs.

    Attributes:
        rounds: Rounds in which to pick, at least 1; None for one token at a time.
        place: Weight of the place, at least 0. With 0 places are not asked for: so it runs where a model's
            family does not tell where tokens lie.
        reach: The Gaussian's deviation as a share of the grid's height and width and of the video's length.

    Example:
        >>> import torch
        >>> tokens = torch.eye(16)[:, :8] + torch.arange(16)[:, None] / 100
        >>> Spread(4).select(tokens[None], 4).indices.shape
        torch.Size([1, 4])
    """

    _: KW_ONLY
    merge: bool = True
    at: At = "projector_output"
    rounds: int | None = 8
    place: float = 0.1
    reach: float = 0.125

    published: ClassVar[str] = "the rule of DivPrune, arXiv 2503.02175"
    departs: ClassVar[str] = "places, rounds, the start and merging are this project's"
    scored: ClassVar[str] = "distance to the kept tokens"

    def __post_init__(self) -> None:
        self._plain("place", check_weight)
        super().__post_init__()
        self._plain("rounds", check_int_or_none)
        self._plain("reach", check_weight)
        if not self.reach:
            raise ApETError("Spread", f"reach={self.reach!r}", "more than 0")

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Places, unless they have no weight."""
        return frozenset({"places"}) if self.place else frozenset()

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks ``kept`` tokens."""
        places = None if context.places is None else _coordinates(context.places, self.reach)
        return _farthest(tokens, kept, self.rounds, places if self.place else None, self.place)


def _coordinates(places: Places, reach: float) -> Tensor:
    """``(B, N, 3)``: time, row and column of every token, in deviations of the Gaussian."""
    extents = sent(torch.tensor(places.extents, dtype=torch.float32, device="cpu"), places.index.device)
    grid, row_column = places.index[..., 0], places.index[..., 1:].to(torch.float32)
    # Tiles are pictures of their own: as far from each other as can be.
    length = float(places.frames) * reach if places.video else 1e-6
    return torch.cat(
        (grid[..., None].to(torch.float32) / length, row_column / (extents[grid] * reach)), dim=-1
    )


def _farthest(tokens: Tokens, kept: int, rounds: int | None, places: Tensor | None, weight: float) -> Picked:
    batch, device = len(tokens.norms), tokens.norms.device
    # Images one by one on a CPU, for the reason given in `row_blocks`.
    step = 1 if device.type == "cpu" else batch
    parts = []
    for start in range(0, batch, step):
        images = slice(start, start + step)
        likeness = _Likeness(tokens.directions(images), None if places is None else places[images], weight)
        first = tokens.norms[images].argmax(dim=1, keepdim=True)
        parts.append(_in_rounds(likeness, first, kept, rounds or kept))
    picked, nearest, slots = (torch.cat(part) for part in zip(*parts, strict=True))
    indices, order = picked.sort(dim=1)
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(kept, device=device).expand(batch, -1))
    # Written again: a kept token goes to itself, whatever equals it.
    assignment = ranks.gather(1, slots).scatter(1, picked, ranks)
    return Picked(indices, scores=1 - nearest.scatter(1, picked, 1.0), assignment=assignment)


@dataclass(frozen=True, eq=False)
class _Likeness:
    """How alike tokens are: the cosine of their directions, less what their places are worth.

    Attributes:
        unit: ``(B, N, d)``, directions.
        places: ``(B, N, 3)``, coordinates in deviations; None for none.
        weight: What a distant place takes off.
    """

    unit: Tensor
    places: Tensor | None
    weight: float

    def of(self, right: Tensor, left: Tensor | None = None) -> Tensor:
        """Between the tokens ``left (B, l)``, all if None, and ``right (B, r)``: ``(B, l, r)``."""
        alike = product(self._rows(self.unit, left), take_rows(self.unit, right).mT)
        if self.places is None:
            return alike
        left_places, right_places = self._rows(self.places, left), take_rows(self.places, right)
        apart = torch.cdist(left_places, right_places, compute_mode="donot_use_mm_for_euclid_dist")
        return alike.sub_(apart.square_().mul_(-0.5).exp_().sub_(1).mul_(-self.weight))

    @staticmethod
    def _rows(x: Tensor, indices: Tensor | None) -> Tensor:
        return x if indices is None else take_rows(x, indices)


def _in_rounds(likeness: _Likeness, first: Tensor, kept: int, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is picked, in order ``(B, K)``; how alike each token is to its nearest one, and which that is."""
    picked = first
    nearest = likeness.of(first)[..., 0]
    slots = torch.zeros_like(nearest, dtype=torch.int64)
    for done in range(rounds):
        count = -(-(kept - picked.shape[1]) // (rounds - done))
        if count == 0:
            break
        left = nearest.scatter(1, picked, torch.inf)
        few = min(_CANDIDATES * count, left.shape[1] - picked.shape[1])
        candidates = left.sort(dim=1, stable=True).indices[:, :few].sort(dim=1).values
        among = _one_by_one(left.gather(1, candidates), likeness.of(candidates, candidates), count)
        new = candidates.gather(1, among)
        alike, place = likeness.of(new).max(dim=-1)
        slots = torch.where(alike > nearest, place + picked.shape[1], slots)
        nearest = torch.maximum(nearest, alike)
        picked = torch.cat((picked, new), dim=1)
    return picked, nearest, slots


def _one_by_one(nearest: Tensor, alike: Tensor, count: int) -> Tensor:
    """Farthest points among candidates ``(B, C)`` that are this much alike each other: ``(B, count)``."""
    picked = []
    for _ in range(count):
        picked.append(nearest.argmin(dim=1, keepdim=True))
        row = alike.take_along_dim(picked[-1][:, None], dim=1)[:, 0]
        nearest = torch.maximum(nearest, row).scatter_(1, picked[-1], torch.inf)
    return torch.cat(picked, dim=1)
