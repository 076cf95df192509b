"""A slider beside whose track any number can be typed."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import gradio as gr


def _in_range(slider: Any, payload: float | None) -> float:
    """The number that was typed, or the nearest in range; for an empty field the least, as browsers show."""
    number: float = min(max(payload or slider.minimum, slider.minimum), slider.maximum)
    return number


# A class statement would make Gradio write a file of types into this folder; ABCMeta makes the class alone.
TypedSlider: Any = ABCMeta.__new__(
    type(gr.Slider),
    "TypedSlider",
    (gr.Slider,),
    {"preprocess": _in_range, "is_template": True, "__module__": __name__},
)
"""Gradio's slider, which takes a number out of its range for an error."""
