"""Hugging Face's own models and those built alike: one list of tiles per row of the batch."""

from __future__ import annotations

from apet.hf.families.family import IMAGE, Family
from apet.hf.families.layouts import equal_parts, laid_out

__all__ = ["ROWS"]

# An entry holds all tiles of a row and does not say where one image ends: every tile counts as an image.
_TILES = laid_out(IMAGE, equal_parts(lambda base: base.image_seq_len))


ROWS = (
    Family(
        "idefics2",
        "Idefics2",
        ("Idefics2ForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        tiles=True,
        whole=False,
        checkpoints=("HuggingFaceM4/idefics2-8b",),
    ),
    Family(
        "idefics3",
        "Idefics3",
        ("Idefics3ForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        tiles=True,
        whole=False,
        checkpoints=("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-Instruct"),
    ),
    Family(
        "smolvlm",
        "SmolVLM2",
        ("SmolVLMForConditionalGeneration",),
        (_TILES,),
        text="text_model",
        tiles=True,
        whole=False,
        needs=("torchvision", "num2words"),
        checkpoints=("HuggingFaceTB/SmolVLM2-2.2B-Instruct",),
    ),
)
