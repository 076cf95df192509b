"""EVS: of a video, keep what changes from frame to frame."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch

from apet.core.blocks import Tokens
from apet.core.errors import ApETError
from apet.core.merge import top_rows
from apet.methods.base import Granularity
from apet.methods.context import Context
from apet.methods.picker import Informed, Picked


@dataclass(frozen=True)
class EVS(Informed):
    """Efficient video sampling (EVS, arXiv 2510.14624).

    A token's score is one minus its cosine similarity to the token at the same place in the frame before.
    Those of highest score stay, over the whole video; the first frame stays whole. Ties go to the lowest
    index. It prunes.

    It takes videos alone, each as a whole: an image is refused, and so is a budget below the first frame.

    Attributes:
        keep: Tokens of each video, at least those of its first frame.
    """

    _: KW_ONLY
    unit: Granularity = "whole"
    needs: ClassVar[frozenset[str]] = frozenset({"places"})
    takes: ClassVar[tuple[str, ...]] = ("video",)
    published: ClassVar[str] = "EVS, arXiv 2510.14624"
    departs: ClassVar[str] = (
        "a budget below the first frame is refused; the authors' code keeps that frame then"
    )

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Ranks the tokens by how much they differ from the frame before."""
        assert context.places is not None  # asked for in `needs`
        frames, rows, columns = context.places.clip("EVS")
        first = rows * columns
        if kept < first:
            raise ApETError(
                "EVS", f"keep={kept} of a video", f"at least the {first} tokens of its first frame"
            )
        scores = torch.full_like(tokens.norms, 2.0)
        unit = tokens.directions()
        scores[:, first:] = (
            1 - (unit[:, first:] * unit[:, :-first]).sum(dim=-1) if frames > 1 else scores[:, first:]
        )
        stays = torch.arange(first, device=scores.device).expand(len(scores), -1)
        return Picked(top_rows(scores, kept, always=stays), scores=scores)
