"""What a model cannot know or see of a picture, told beside its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from apet.app.answering import kind_of
from apet.core.errors import ApETError
from apet.core.words import figure
from apet.embedded.reference import NAME, is_fetched
from apet.pictures.decisions import processed_picture

_KNOWN = {
    "embedded": "drawn scenes of coloured shapes and printed words",
    NAME: "drawn scenes, and drawings of 28 kinds of objects on photographs",
}
_SIDE = 336
_COMMON = 8
# Of 800 drawn scenes, as JPEG at quality 40, too, the eight commonest colours cover 0.69 or more; of
# scikit-image's photographs in colour 0.66 (a retina) or less, of most about 0.3. Scenes have at least 0.0012
# of vivid pixels; pictures in grey, which the other measure cannot tell, have none.
_COVER, _VIVID = 0.67, 0.001
_FAR, _RAMP = 1.3, 512
"""How far from its shape a picture may be seen without a word; the longest side of what finds that out."""


def is_drawn(picture: Image.Image) -> bool:
    """Whether a picture looks like a drawing of a few colours, rather than like a photograph or in grey."""
    pixels = np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), np.int16)
    red, green, blue = np.moveaxis(pixels // 16, -1, 0)
    counts = np.sort(np.bincount((red * 256 + green * 16 + blue).ravel()))
    vivid = (np.ptp(pixels, axis=-1) > 48).mean()
    return bool(counts[-_COMMON:].sum() >= _COVER * _SIDE**2 and vivid >= _VIVID)


def photograph_hint(pictures: Sequence[Image.Image], model: str | None = None) -> str | None:
    """What to tell of a picture or frames that a model of the project, by its name, was not made for.

    None for a picture that looks drawn, and for models that others trained.

    Example:
        >>> photograph_hint([Image.effect_noise((64, 64), 90)])[:59]
        'This does not look drawn, and the model "embedded" knows on'
    """
    name = model or "embedded"
    if name not in _KNOWN or all(is_drawn(picture) for picture in pictures):
        return None
    hint = (
        f'This does not look drawn, and the model "{name}" knows only {_KNOWN[name]}: it can say little here.'
    )
    if name != NAME and is_fetched():
        hint += f' The model "{NAME}" knows {_KNOWN[NAME]}.'
    return f"{hint} A pretrained model, such as llava-hf/llava-1.5-7b-hf, knows photographs."


def shape_hint(picture: Image.Image, processor: Any) -> str | None:
    """What to tell of a picture whose shape does not get through the model's image processor; None: nothing.

    A picture of its shape is prepared whose red grows to the right, whose green grows downwards, and whose
    blue is one that nobody pads with: what comes out tells squeezing, a cut and padding apart, whatever the
    processor's settings are called. Processors that make patches or tiles are taken to show all of it.
    """
    scale = min(1, _RAMP / max(picture.size))
    wide, high = (max(1, round(side * scale)) for side in picture.size)
    ramp = np.full((high, wide, 3), 64, np.uint8)
    ramp[..., 0] = np.linspace(0, 255, wide)
    ramp[..., 1] = np.linspace(0, 255, high)[:, None]
    try:
        seen = np.asarray(processed_picture(Image.fromarray(ramp), processor), np.float32) / 255
    except (ApETError, KeyError, TypeError, ValueError, AttributeError):
        return None
    rows, columns = np.nonzero(abs(seen[..., 2] - 0.25) < 0.1)  # the others are padding
    if not len(rows):
        return None
    part = seen[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    # A pixel shows the middle of what it covers: the outer halves are missing.
    down, across = (
        float(np.ptp(part[..., 1 - axis])) * side / max(side - 1, 1)
        for axis, side in enumerate(part.shape[:2])
    )
    if min(across, down) * _FAR < 1:
        share, side = (across, "width") if across < down else (down, "height")
        return (
            f"The model sees {share:.0%} of this picture's {side} only, since its image processor cuts off "
            "the rest: pad the picture to a square to show all of it."
        )
    squeezed = (part.shape[1] / part.shape[0]) / (wide * across / (high * down))
    if 1 / _FAR < squeezed < _FAR:
        return None
    word, times = ("narrow", 1 / squeezed) if squeezed < 1 else ("low", squeezed)
    return (
        f"The model sees this picture squeezed, {figure(round(times, 1))} times too {word}: "
        "pad it to a square to keep its shape."
    )


def hints_of(
    pictures: Sequence[Image.Image], model: Any, processor: Any, name: str | None = None
) -> str | None:
    """All that there is to tell of a picture or frames before an answer is believed; None if nothing is."""
    video = kind_of(model, processor, pictures) == "video"  # its processor prepares frames otherwise
    hints = (photograph_hint(pictures, name), None if video else shape_hint(pictures[0], processor))
    return " ".join(filter(None, hints)) or None
