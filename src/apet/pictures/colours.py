"""Colours of the pictures."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

PAPER = (255, 255, 255)
INK = (32, 36, 44)
FAINT = (112, 118, 130)
BASIS = (56, 214, 255)
KEPT = (243, 146, 44)
DROPPED = (188, 193, 204)
CUT = (196, 40, 72)

_STOPS = np.asarray(
    [(12, 10, 38), (66, 18, 106), (140, 41, 99), (207, 68, 70), (248, 134, 40), (252, 228, 146)], np.float32
)
"""A dark-to-light scale: small errors dark, large ones bright."""
_TURN = 0.618034
"""Hues a golden section apart stay apart however many there are."""


def heat_colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours ``(.., 3)`` of values in [0, 1]."""
    at = np.clip(values, 0, 1) * (len(_STOPS) - 1)
    low = np.minimum(at.astype(int), len(_STOPS) - 2)
    share = (at - low)[..., None]
    colours: NDArray[np.uint8] = ((1 - share) * _STOPS[low] + share * _STOPS[low + 1]).astype(np.uint8)
    return colours


def region_colours(count: int) -> NDArray[np.float32]:
    """``(count, 3)`` different colours, neighbours in number far apart."""
    colours = [
        colorsys.hls_to_rgb((0.58 + number * _TURN) % 1, (0.56, 0.66, 0.48)[number % 3], 0.62)
        for number in range(count)
    ]
    return (np.asarray(colours, np.float32) * 255).reshape(count, 3)
