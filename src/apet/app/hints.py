"""What a model of the project cannot know about a picture, told beside its answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from apet.embedded.reference import NAME, is_fetched

__all__ = ["has_real_eye", "is_drawn", "photograph_hint"]

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


def is_drawn(picture: Image.Image) -> bool:
    """Whether a picture looks like a drawing of a few colours, rather than like a photograph or in grey.

    Args:
        picture: Of any size; RGB.
    """
    pixels = np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), np.int16)
    red, green, blue = np.moveaxis(pixels // 16, -1, 0)
    counts = np.sort(np.bincount((red * 256 + green * 16 + blue).ravel()))
    vivid = (np.ptp(pixels, axis=-1) > 48).mean()
    return bool(counts[-_COMMON:].sum() >= _COVER * _SIDE**2 and vivid >= _VIVID)


def has_real_eye() -> bool:
    """Whether the real eye, ``"dinov2"``, can be loaded on this machine."""
    return is_fetched()


def photograph_hint(pictures: Sequence[Image.Image], model: str | None = None) -> str | None:
    """What to tell of a picture that a model of the project was not made for.

    Args:
        pictures: The picture, or the frames of a video.
        model: Name of the model; None is the embedded one, as on the command line.

    Returns:
        A sentence or two; None for a picture that looks drawn, and for models that others trained.

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
    if name != NAME and has_real_eye():
        hint += f' The model "{NAME}" knows {_KNOWN[NAME]}.'
    return f"{hint} A pretrained model, such as llava-hf/llava-1.5-7b-hf, knows photographs."
