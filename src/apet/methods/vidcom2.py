"""VidCom2: of a video, keep what is unlike its mean, and more of the frames that are."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import Tokens
from apet.methods.base import Granularity
from apet.methods.context import Context
from apet.methods.picker import Informed, Picked

_WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0)
_TEMPERATURE = 0.01


@dataclass(frozen=True)
class VidCom2(Informed):
    """Video compression commander (VidCom2, arXiv 2505.14454, section 4).

    Half of the channels are looked at, those of lowest variance over the video. In these every token's
    direction is compared with the mean direction of the video and with that of its frame, by a sum of
    Gaussian kernels of five widths. Frames whose tokens are, on average, unlike the video's mean get more
    than their even share of the budget, by a softmax of temperature 0.01; in a frame those tokens stay whose
    two similarities sum to the least. Ties go to the lowest index. It prunes, and the sum, negated, is the
    score.

    It takes videos alone, each as a whole: an image is refused.

    Attributes:
        keep: Tokens of each video.
    """

    _: KW_ONLY
    unit: Granularity = "whole"
    needs: ClassVar[frozenset[str]] = frozenset({"places"})
    takes: ClassVar[tuple[str, ...]] = ("video",)
    published: ClassVar[str] = "VidCom2, arXiv 2505.14454"
    departs: ClassVar[str] = (
        "shares of the frames are rounded so that exactly K tokens stay (Sainte-Lague), where the authors' "
        "code rounds each by itself"
    )

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Shares the budget among the frames, then ranks the tokens of each."""
        assert context.places is not None  # asked for in `needs`
        frames, rows, columns = context.places.clip("VidCom2")
        picked, scores = [], []
        for image in range(len(tokens.data)):
            x = tokens.block(slice(image, image + 1), slice(None))[0].view(frames, rows * columns, -1)
            video, frame = _likeness(_steady(x))
            picked.append(_chosen(video + frame, _shares(video.mean(dim=1), kept / video.numel()), kept))
            scores.append(-(video + frame).flatten())
        return Picked(torch.stack(picked), scores=torch.stack(scores))


def _steady(x: Tensor) -> Tensor:
    """The half of the channels of ``x (F, n, d)`` whose variance is lowest, at least one."""
    variances = x.flatten(0, 1).var(dim=0, unbiased=False)
    count = max(x.shape[-1] // 2, 1)
    return x[..., variances.sort(stable=True).indices[:count]]


def _likeness(x: Tensor) -> tuple[Tensor, Tensor]:
    """How like every token ``(F, n)`` is to the mean direction of the video, and to that of its frame."""
    unit = torch.nn.functional.normalize(x, dim=-1)
    likeness = []
    for center in (unit.mean(dim=(0, 1), keepdim=True), unit.mean(dim=1, keepdim=True)):
        squared = (unit - center).square().sum(dim=-1)
        likeness.append(torch.stack([torch.exp(-squared / (2 * width)) for width in _WIDTHS]).sum(dim=0))
    return likeness[0], likeness[1]


def _shares(likeness: Tensor, base: float) -> Tensor:
    """The share of its tokens that each frame keeps, ``(F,)``, 1 at most."""
    weights = torch.softmax((likeness.amin() - likeness) / _TEMPERATURE, dim=0)
    return (base * (1 + weights - weights.mean())).clamp(max=1.0)


def _chosen(scores: Tensor, shares: Tensor, kept: int) -> Tensor:
    """The tokens ``(kept,)`` of lowest score in each frame, as many as its share of the whole comes to."""
    count = scores.shape[1]
    order = scores.sort(dim=1, stable=True).indices
    turn = torch.arange(count, device=scores.device, dtype=torch.float32)
    due = (turn + 0.5) / (shares[:, None] * count)
    due[:, 0] = 0.0  # every frame keeps one, if the budget reaches
    taken = due.flatten().sort(stable=True).indices[:kept]
    frame = taken // count
    tokens = order.flatten()[taken] + frame * count
    return tokens.sort().values
