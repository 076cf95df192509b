"""How many tokens of each image, tile or frame stay, in which order: what processor and model agree on.

The processor decides once and sends the answer along with the pixels, as fields of an image or video; the
model reads them. So the prompt and the features cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from apet.core.budget import check_keep, fit_keep
from apet.core.errors import ApETError
from apet.methods import Method
from apet.vllm.settings import REQUEST

PARTS, KEPT, WEIGHT = "apet_parts", "apet_kept", "apet_weight"


@dataclass(frozen=True)
class Parts:
    """One image or video.

    Attributes:
        of: ``(N,)`` int32, the part (tile or frame) that each visual token belongs to, -1 for tokens that
            always stay (newlines).
        kept: ``(U,)`` int32, how many tokens of each part stay.
        weight: How many tokens of all the server's own budget would keep; 0 where nobody asks.
        where: Row and column of every token, ``(N, 2)`` on the CPU, for a method that asks.
    """

    of: Tensor
    kept: Tensor
    weight: int = 0
    where: Tensor | None = None

    @property
    def total(self) -> int:
        """Tokens that are left."""
        return int(self.kept.sum()) + int((self.of < 0).sum())

    def leading(self) -> Tensor:
        """``(N,)`` bool, a sequence of placeholders of the right number: of each part the first ones.

        All placeholders are one token, so which of them stay does not matter, only between which others.
        """
        limit = torch.cat((self.kept.new_tensor([len(self.of)]), self.kept))
        return ranks(self.of) < limit[self.of.long() + 1]

    @classmethod
    def everything(cls, total: int) -> Self:
        """One part that keeps all its tokens."""
        return cls(torch.zeros(total, dtype=torch.int32), torch.tensor([total], dtype=torch.int32))

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> list[Self] | None:
        """Removes the fields from a batch's arguments; None if its items were not planned."""
        of, kept, _ = (arguments.pop(name, None) for name in (PARTS, KEPT, WEIGHT))
        return None if of is None else [cls(*pair) for pair in zip(of, kept, strict=True)]


def ranks(of: Tensor) -> Tensor:
    """The place of each of N tokens among those of its part, ``(N,)``, in the time of a sort."""
    order = of.argsort(stable=True)
    sizes = torch.bincount(of.long() + 1)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return rank


def equal_parts(total: int, count: int) -> Tensor:
    """Parts of one size, one behind the other, ``(total,)``."""
    return torch.arange(count, dtype=torch.int32).repeat_interleave(total // count)


def plan(of: Tensor, method: Method, server: Method) -> Parts:
    """Decides how many tokens of each part stay.

    A count larger than a part keeps all of it, since a server sees images of any size.

    Args:
        of: As in `Parts`.
        method: What the request asked for.
        server: What the server was started with.
    """
    if method.unit == "whole":
        of = of.clamp(max=0)
    sizes: list[int] = torch.bincount(of.long() + 1)[1:].tolist()
    # Of a tile nothing may be left behind the padding.
    kept, limits = (
        [size and fit_keep(check_keep(one.keep, REQUEST), size, REQUEST) for size in sizes]
        for one in (method, server)
    )
    for size, own, most in zip(sizes, kept, limits, strict=True):
        if own > most:
            raise ApETError(
                REQUEST,
                f"{method.keep!r} ({own} of {size} tokens)",
                f"at most the server's {server.keep!r} ({most})",
            )
    weight = sum(limits) + int((of < 0).sum())
    return Parts(of.to(torch.int32), torch.tensor(kept, dtype=torch.int32), weight)


def parts_in(item: Mapping[str, Any]) -> Parts | None:
    """What was decided for a processed image or video; None for one that is not compressed."""
    return Parts(item[PARTS].data, item[KEPT].data) if PARTS in item else None


def run_numbers(embeds: Tensor) -> Tensor:
    """The number of the unbroken run that each of N tokens among ``embeds (L,)`` stands in, ``(N,)``."""
    begins = embeds & ~torch.nn.functional.pad(embeds[:-1], (1, 0))
    return (begins.cumsum(0) - 1)[embeds]
