"""How the page looks, and its slider, beside whose track any number can be typed."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import gradio as gr

CSS = """
.gradio-container { max-width: 1360px !important; margin: auto; }
#overlay img, #ranks img { object-fit: contain; }
#overlay, #ranks { background: white; }
#limit * { font-size: 12px; color: var(--body-text-color-subdued); }
#hint { padding: 8px 12px; border-left: 3px solid var(--color-accent); background: var(--color-accent-soft); }
#answers th * { overflow-wrap: normal; word-break: normal; }
/* One column: the picture first, the slider below it, and what comes of asking last. */
@media (max-width: 940px) {
  #seen { display: contents; }
  #overlay { order: -1; }
  #page { max-width: calc(100vw - 64px); }
  #overlay .image-container, #overlay button { max-width: 100%; }
  #overlay .image-frame { justify-content: start; overflow-x: auto; }
  #overlay img { min-width: 640px; }
}
/* All five columns of the answers on a phone. */
@media (max-width: 480px) {
  #answers :is(.cell-wrap, .cell-wrap *) { font: 11px var(--font); padding-left: 1px; padding-right: 1px; }
  #answers .cell-menu-button { display: none; }
  #ranks { height: auto !important; }
}
"""


def theme() -> gr.Theme:
    """Gradio's theme with the system's own fonts: nothing is fetched from elsewhere."""
    return gr.themes.Default(
        primary_hue="orange",
        neutral_hue="slate",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )


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
