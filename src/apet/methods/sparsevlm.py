"""SparseVLM: at several depths keep what the relevant text attends to, and recycle some of the rest."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product
from apet.core.budget import check_keep, fit_keep
from apet.core.check import check_layers
from apet.core.merge import top_rows
from apet.methods.attended import Asking, Attended
from apet.methods.base import Positions
from apet.methods.context import Attention
from apet.methods.picker import Picked
from apet.methods.stage2 import Stage2

_DEPTHS = (3 / 32, 7 / 32, 16 / 32)
_COUNTS = {192: (300, 200, 110), 128: (303, 110, 36), 64: (66, 30, 17)}
"""Tokens that the authors' code keeps by rank of 576, by the budget in the paper's tables."""


@dataclass(frozen=True)
class SparseVLM(Attended):
    """Text-guided sparsification (SparseVLM, arXiv 2410.04417, section 3).

    Nothing is dropped before the text model. Behind its layers 2, 6 and 15 (counted from 0, of 32) those
    visual tokens stay that receive most attention from the raters, averaged over these and the heads of that
    layer. The raters are the tokens of the text behind the images at which visual tokens point most before
    the first layer. Of the dropped tokens the 30% that receive most are recycled: density peak clustering
    puts them into a tenth as many clusters, whose means stay as well. The others are gone. Ties go to the
    lowest index.

    Attributes:
        keep: The budget by which the paper's tables call it, 192, 128 or 64 of 576, or a share of these. What
            the three stages keep is that of the authors' code, in proportion; between these and beyond them,
            of the nearest. Averaged over all layers it is about as much, recycled tokens not counted.
        layers: First layers that see fewer tokens, three, ascending; None for 3, 7 and 16 of 32, in
            proportion.
    """

    _: KW_ONLY
    merge: bool = True
    positions: Positions = "contiguous"
    layers: tuple[int, int, int] | None = None
    reads: ClassVar[Literal["vision", "text"]] = "text"
    asking: ClassVar[Asking] = "raters"
    published: ClassVar[str] = "SparseVLM, arXiv 2410.04417"
    departs: ClassVar[str] = (
        "a cluster's mean has the place of its centre, not behind the ranked tokens; densities are not "
        "stirred by noise; raters are those of all images of a row"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.keep, "SparseVLM")  # no callable
        check_layers(self.layers, "SparseVLM", three=True)

    def stage1(self, total: int) -> int:
        """Everything enters the text model."""
        return total

    def fitted(self, num_layers: int) -> Self:
        """Puts the stages at the paper's depths, in proportion, where none were given."""
        if self.layers is not None or num_layers < 4:
            return self
        first, second, third = (max(round(num_layers * depth), 1) for depth in _DEPTHS)
        second = max(second, first + 1)
        return replace(self, layers=(first, second, max(third, second + 1)))

    @property
    def depths(self) -> tuple[int, int, int]:
        """First layers that see fewer tokens; those of 32 layers as long as the model is not known."""
        return (3, 7, 16) if self.layers is None else self.layers

    @property
    def later(self) -> tuple[Stage2, ...]:
        """One stage before each of `depths`."""
        return tuple(Stage2(layer, check_keep(self.keep)) for layer in self.depths)

    def behind(self, stage: Stage2, total: int) -> int:
        """What a stage keeps by rank, and its clusters."""
        left = total
        for count in self._ranked(total)[: self.depths.index(stage.layer) + 1]:
            ranked = min(count, left)
            left = ranked + _clusters(left - ranked)
        return left

    def _ranked(self, total: int) -> list[int]:
        """Tokens that each stage keeps by rank."""
        asked = fit_keep(check_keep(self.keep), total, "SparseVLM") * 576 / total
        nearest = min(_COUNTS, key=lambda budget: abs(budget - asked))
        share = asked / nearest * total / 576
        return [min(max(round(count * share), 1), total) for count in _COUNTS[nearest]]

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Ranks the tokens, and clusters some of the others."""
        received, total = attention.received, attention.received.shape[1]
        ranked = next((n for n in range(kept - 1, 0, -1) if n + _clusters(total - n) == kept), kept)
        stay = top_rows(received, ranked)
        if ranked == kept or not self.merge:
            return Picked(
                top_rows(received, kept), mix=_alone(top_rows(received, kept), total) if self.merge else None
            )
        gone = received.scatter(1, stay, -torch.inf).sort(dim=1, descending=True, stable=True).indices
        recycled = gone[:, : _recycled(total - ranked)].sort(dim=1).values
        centres, cluster = _peaks(tokens.rows(recycled), kept - ranked)
        heads = recycled.gather(1, centres)
        indices, order = torch.cat((stay, heads), dim=1).sort(dim=1)
        slots = torch.arange(kept, device=indices.device).expand_as(indices)
        slot_of = torch.zeros_like(indices).scatter(1, order, slots)  # from stay and heads to slots
        assignment = torch.zeros_like(received, dtype=torch.int64)
        assignment = assignment.scatter(1, recycled, slot_of[:, ranked:].gather(1, cluster))
        assignment = assignment.scatter(1, indices, slots)
        weights = _alone(indices, total)
        members = torch.zeros_like(weights).flatten(1)
        members = members.scatter(1, assignment.gather(1, recycled) * total + recycled, 1.0).view_as(weights)
        sizes = members.sum(dim=2, keepdim=True)
        return Picked(
            indices, assignment=assignment, mix=torch.where(sizes > 0, members / sizes.clamp(min=1), weights)
        )


def _recycled(dropped: int) -> int:
    """Tokens that are recycled."""
    return min(int(dropped * 0.3) + 1, dropped)


def _clusters(dropped: int) -> int:
    """Clusters that they come to; none where nothing is dropped."""
    return int(_recycled(dropped) / 10) + 1 if dropped else 0


def _alone(indices: Tensor, total: int) -> Tensor:
    """Weights that leave every kept token as it is, ``(B, K, N)``."""
    blank = torch.zeros((*indices.shape, total), dtype=torch.float32, device=indices.device)
    return blank.scatter_(2, indices.unsqueeze(2), 1.0)


def _peaks(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Density peaks among rows ``(B, n, d)``, as many neighbours as clusters telling a row's density.

    Returns:
        The centres ``(B, count)``, and the cluster of every row ``(B, n)``, by number of its centre.
    """
    centres, clusters = [], []
    for rows in x:
        squared = rows.square().sum(dim=1)
        apart = squared[:, None] + squared - 2 * product(rows[None], rows.mT[None])[0]
        apart = apart.clamp(min=0).fill_diagonal_(0.0) / rows.shape[1]
        density = (-apart.sort(dim=1).values[:, :count].mean(dim=1)).exp()
        distance = apart.sqrt()
        denser = density[None, :] > density[:, None]
        above = torch.where(denser, distance, distance.max()).amin(dim=1)
        peaks = (above * density).sort(descending=True, stable=True).indices[:count]
        cluster = distance[peaks].argmin(dim=0)
        cluster[peaks] = torch.arange(count, device=x.device)
        centres.append(peaks)
        clusters.append(cluster)
    return torch.stack(centres), torch.stack(clusters)
