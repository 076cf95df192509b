"""IBM's Granite models: features for several decoder layers at once.

Granite Vision 4 has no other features: each decoder layer in a list adds its own set to the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, Family, Visual
from apet.hf.families.layouts import anyres, equal_parts, laid_out


def _routed_tiles(visual: Visual) -> Sequence[Sequence[Tensor]]:
    """Tiles of one size, four times as large on the fine route."""
    factor = 1 if visual.arguments.get("tile_fine_mask") is None else 4
    return equal_parts(lambda base: factor * base.image_seq_len)(visual)


ROWS = (
    Family(
        "granite4_vision",
        "Granite Vision 4",
        ("Granite4VisionForConditionalGeneration",),
        (laid_out(IMAGE, anyres),),
        tiles=True,
        note=(
            "stage 1 scores the features of the first decoder layer that gets any; stage 2 comes "
            "behind the last that does"
        ),
        checkpoints=("ibm-granite/granite-vision-4.1-4b",),
    ),
    Family(
        "granite_docling",
        "Granite for Docling",
        ("GraniteDoclingForConditionalGeneration",),
        # Every image has a first tile of the first row; a view of it all follows its tiles, if there are any.
        (replace(laid_out(IMAGE, _routed_tiles), begins=by_mark("before", "first")),),
        text="text_model",
        tiles=True,
        checkpoints=("ibm-granite/granite-for-docling-500m",),
    ),
)
