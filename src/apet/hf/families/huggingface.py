"""Hugging Face's own models: one list of tiles per row of the batch."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, Family
from apet.hf.families.layouts import equal_parts, laid_out

_TILES = laid_out(IMAGE, equal_parts(lambda base: base.image_seq_len))

# Behind an image's tiles comes a view of it all, marked by a token of its own; else that view alone.
_VIEW_LAST = replace(_TILES, begins=by_mark("before", "last"))

_ADJACENT = "in its prompts two images without text between them look like two tiles of one"

ROWS = (
    Family(
        "idefics2",
        "Idefics2",
        ("Idefics2ForConditionalGeneration",),
        (replace(_TILES, no_whole=_ADJACENT),),
        text="text_model",
        tiles=True,
        checkpoints=("HuggingFaceM4/idefics2-8b",),
    ),
    Family(
        "idefics3",
        "Idefics3",
        ("Idefics3ForConditionalGeneration",),
        (_VIEW_LAST,),
        text="text_model",
        tiles=True,
        checkpoints=("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-Instruct"),
    ),
    Family(
        "smolvlm",
        "SmolVLM2",
        ("SmolVLMForConditionalGeneration",),
        (_VIEW_LAST,),
        text="text_model",
        tiles=True,
        needs=("torchvision", "num2words"),
        checkpoints=("HuggingFaceTB/SmolVLM2-2.2B-Instruct",),
    ),
)
