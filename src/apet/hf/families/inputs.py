"""The visual inputs of families: how their features are laid out, and where they lie on pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from apet.hf.families import own_layouts
from apet.hf.families.begins import by_mark, touching
from apet.hf.families.family import IMAGE, VIDEO, Modality
from apet.hf.families.grids import merged, packed, sized, square
from apet.hf.families.layouts import anyres, equal_parts, frames_of_grid, stacked, trailing_newline
from apet.hf.families.shrink import INTERPOLATED, REGRID

PLAIN = (IMAGE,)
"""Every entry of the output is an image, or the tiles of one; nothing tells where its tokens lie."""
SQUARE = (replace(IMAGE, grids=square(whole=False)),)
"""One square picture, of which the processor cuts or pads something."""
WHOLE_SQUARE = (replace(IMAGE, grids=square(whole=True)),)
"""One square picture, squeezed whole."""
LLAVA = (replace(IMAGE, grids=sized(lambda base: int(base.vision_tower.patch_size)), shrink=INTERPOLATED),)
PIXTRAL = (
    replace(
        IMAGE,
        grids=sized(lambda base: int(base.config.vision_config.patch_size * base.config.spatial_merge_size)),
    ),
)
"""Images of any size with tokens between the rows, their patches merged in squares."""

_PIXELS, _VIDEOS = "pixel_values", "pixel_values_videos"
_ANYRES = replace(IMAGE, layout=anyres, grids=packed)
LLAVA_NEXT = (_ANYRES,)
LLAVA_NEXT_VIDEO = (
    _ANYRES,
    replace(VIDEO, layout=own_layouts.llava_next_video, grids=square(whole=False)),
)
LLAVA_ONEVISION = (_ANYRES, replace(VIDEO, layout=trailing_newline(_VIDEOS), grids=square(whole=True)))
GRANITE4 = (replace(IMAGE, layout=anyres),)
VIDEO_LLAVA = (IMAGE, replace(VIDEO, layout=stacked(_VIDEOS)))
# One method encodes both.
PERCEPTION_LM = (
    replace(IMAGE, layout=stacked(_PIXELS)),
    replace(VIDEO, method=IMAGE.method, layout=stacked(_PIXELS)),
)


def _gridded(merge: Callable[[Any], int] | str | None = None) -> tuple[Modality, Modality]:
    """Images and videos of any size, with ``.._grid_thw``; ``merge`` as `merged` takes it."""
    image, video = "image_grid_thw", "video_grid_thw"
    return (
        replace(IMAGE, grids=merged(image, merge)),
        replace(VIDEO, layout=frames_of_grid(video), grids=merged(video, merge)),
    )


GRID = _gridded()
"""Qwen's: grids of any size, three-axis rotary positions, video."""
GRID_IMAGE = GRID[:1]
QWEN = (replace(GRID[0], shrink=REGRID), GRID[1])
GLM = (GRID[0], replace(GRID[1], placeholder="image_token_id"))
"""Frames of a video stand in the prompt as images do; a call holds images or videos, never both."""
MUSE = _gridded(lambda base: int(base.config.vision_config.merge_size))
ERNIE = (GRID[0], replace(GRID[1], layout=own_layouts.ernie_video))
VIDEO_LLAMA3 = (_gridded("image_merge_sizes")[0], _gridded("video_merge_sizes")[1])
GEMMA4 = (IMAGE, replace(VIDEO, layout=own_layouts.gemma4_video))
DEEPSEEK_OCR2 = (replace(IMAGE, layout=own_layouts.deepseek_ocr2),)
HUNYUAN = (replace(IMAGE, layout=own_layouts.hunyuan),)
MOLMO2 = (
    replace(IMAGE, layout=own_layouts.molmo2),
    replace(VIDEO, layout=frames_of_grid("video_grids")),
)
STEP3P7 = (replace(IMAGE, layout=own_layouts.step3p7),)

TOUCHING = (replace(IMAGE, begins=touching),)
"""The tiles of all images come in one tensor; those of one touch in the prompt."""
START_MARKED = (replace(IMAGE, begins=by_mark("before", "first")),)
"""Tiles, of which the first alone has the image's start before it; others have a break or separator."""
END_MARKED = (replace(IMAGE, begins=by_mark("after", "last")),)
"""Tiles, of which the last alone has the image's end behind it; behind others comes the next's name."""
# Every image has a first tile of the first row; a view of it all follows its tiles, if there are any.
GRANITE_DOCLING = (replace(START_MARKED[0], layout=own_layouts.granite_docling),)
MINICPM = (
    *START_MARKED,
    replace(VIDEO, no_whole="in its prompts two videos without text between them look like one"),
)
"""A view of the image, then slices; every frame of a video is marked as the start of an image, too."""
_TILE_LISTS = replace(IMAGE, layout=equal_parts(lambda base: base.image_seq_len))
IDEFICS2 = (
    replace(
        _TILE_LISTS, no_whole="in its prompts two images without text between them look like two tiles of one"
    ),
)
IDEFICS3 = (replace(_TILE_LISTS, begins=by_mark("before", "last")),)
"""Behind an image's tiles comes a view of it all, marked by a token of its own; else that view alone."""
