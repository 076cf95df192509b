"""Meta's vision-language models with images among the text tokens."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.layouts import entries, laid_out
from apet.hf.families.tiles import by_mark


def _stacked(visual: Visual) -> list[list[Tensor]]:
    """Pixels ``(images, tiles, ..)``, or ``(videos, frames, ..)``; the features list the tiles of all."""
    tiles = [rows for (rows,) in entries(visual)]
    count: int = visual.arguments["pixel_values"].shape[1]
    return [tiles[start : start + count] for start in range(0, len(tiles), count)]


ROWS = (
    Family(
        "llama4",
        "Llama 4",
        ("Llama4ForConditionalGeneration",),
        (replace(IMAGE, begins=by_mark("after", "last")),),  # an image's end; behind other tiles, a separator
        text="language_model.model",
        tiles=True,
        note=(
            "past 8192 tokens its layers without rotary positions scale queries by their place in the "
            "shortened prompt, so such prompts differ slightly from the full sequence with tokens "
            "masked"
        ),
        needs=("torchvision",),
        checkpoints=("meta-llama/Llama-4-Scout-17B-16E-Instruct",),
    ),
    Family(
        "perception_lm",
        "Perception LM",
        ("PerceptionLMForConditionalGeneration",),
        # One method encodes both.
        (laid_out(IMAGE, _stacked), replace(VIDEO, method=IMAGE.method, layout=_stacked)),
        tiles=True,
        needs=("torchvision", "timm"),
        checkpoints=("facebook/Perception-LM-1B",),
    ),
)
