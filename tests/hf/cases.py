"""Prompts and methods that many tests run over."""

from __future__ import annotations

from apet.methods import ApET, Method, Stage2

PROMPTS: dict[str, list[list[str | int]]] = {
    "one": [["i", 5]],
    "equal": [["i", 5], [3, "i", 9]],
    "ragged": [["i", 2, "i", 5], [3, "i", 9]],
    "touching": [["i", "i", 4], ["i", 9]],
    "text row": [["i", 5], [7]],
    "level": [["i", "i", 2], ["i", 26]],
    "flush": [["i", "i", 2], ["i", 38]],
}
"""Rows of parts, see `tests.hf.tiny.prompts`.

``level`` has rows that are equally long after stage 1 with 12 tokens an image, and ``flush`` rows that are
equally long from the start, so that stage 2 is ragged where no mask exists.
"""


def method(name: str, *, merge: bool = True, positions: str = "own", at: str = "projector_input") -> Method:
    """ApET with stage 1, stage 2 or both, on the tiny model (36 visual tokens, 4 layers)."""
    keep, stage2 = {
        "stage 1": (12, None),
        "stage 2": (1.0, Stage2(layer=2, keep=6)),
        "both": (12, Stage2(layer=2, keep=5)),
        "both, late": (0.5, Stage2(layer=3, keep=0.25)),
    }[name]
    return ApET(keep=keep, stage2=stage2, merge=merge, positions=positions, at=at)


STAGES = ("stage 1", "stage 2", "both")
