"""GLM's vision-language models: grids of any size, three-axis rotary positions, video.

Frames of a video stand in the prompt as images do, with the image's placeholder between tokens of their own;
a call holds images or videos, never both.
"""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.family import IMAGE, VIDEO, Family
from apet.hf.families.grids import drawn, merged
from apet.hf.families.layouts import frames_of_grid, laid_out

_FRAMES = replace(
    laid_out(VIDEO, frames_of_grid("video_grid_thw")),
    placeholder="image_token_id",
    grids=merged("video_grid_thw"),
)
_INPUTS = (drawn(IMAGE, merged("image_grid_thw")), _FRAMES)

ROWS = (
    Family(
        "glm4v",
        "GLM-4.1V",
        ("Glm4vForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("zai-org/GLM-4.1V-9B-Thinking", "zai-org/GLM-4.6V-Flash"),
    ),
    Family(
        "glm4v_moe",
        "GLM-4.5V",
        ("Glm4vMoeForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("zai-org/GLM-4.5V",),
    ),
    Family("glm46v", "GLM-4.6V", ("Glm46VForConditionalGeneration",), _INPUTS, needs=("torchvision",)),
    Family("glmga", "GLM-GA", ("Glm46VForConditionalGeneration",), _INPUTS, needs=("torchvision",)),
    Family(
        "glm_ocr",
        "GLM-OCR",
        ("GlmOcrForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("zai-org/GLM-OCR",),
    ),
)
