"""Hugging Face's own models and those built alike: one list of tiles per row of the batch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from apet.hf.families.family import IMAGE, Family, Visual
from apet.hf.families.layouts import equal_parts, laid_out

__all__ = ["ROWS"]

# An entry holds all tiles of a row and does not say where one image ends: every tile counts as an image.
_TILES = laid_out(IMAGE, equal_parts(lambda base: base.image_seq_len))


def _routed_tiles(visual: Visual) -> Sequence[Sequence[Tensor]]:
    """Tiles of one size, four times as large on the fine route."""
    factor = 1 if visual.arguments.get("tile_fine_mask") is None else 4
    return equal_parts(lambda base: factor * base.image_seq_len)(visual)


ROWS = (
    Family(
        "idefics2",
        "Idefics2",
        ("Idefics2ForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        checkpoints=("HuggingFaceM4/idefics2-8b",),
    ),
    Family(
        "idefics3",
        "Idefics3",
        ("Idefics3ForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        checkpoints=("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-Instruct"),
    ),
    Family(
        "smolvlm",
        "SmolVLM2",
        ("SmolVLMForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        checkpoints=("HuggingFaceTB/SmolVLM2-2.2B-Instruct",),
    ),
    Family(
        "granite_docling",
        "Granite for Docling",
        ("GraniteDoclingForConditionalGeneration",),
        (laid_out(IMAGE, _routed_tiles),),
        text="text_model",
        checkpoints=("ibm-granite/granite-for-docling-500m",),
    ),
)
