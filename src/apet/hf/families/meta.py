"""Meta's vision-language models with images among the text tokens."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, VIDEO, Family
from apet.hf.families.layouts import laid_out, stacked

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
        (
            laid_out(IMAGE, stacked("pixel_values")),
            replace(VIDEO, method=IMAGE.method, layout=stacked("pixel_values")),
        ),
        tiles=True,
        needs=("torchvision", "timm"),
        checkpoints=("facebook/Perception-LM-1B",),
    ),
)
