"""Drawn scenes with questions: the data that the embedded model is trained on and tested with.

Everything follows from a seed; nothing is downloaded. ``sample_scene`` decides what a picture shows, ``draw``
makes its pixels, ``ask`` its questions.
"""

from apet.scenes.drawing import draw
from apet.scenes.questions import SKILLS, Question, ask
from apet.scenes.scene import GRID, PATCH, SIZE, Region, Scene, Shape, Text, sample_scene, seeded

__all__ = [
    "GRID",
    "PATCH",
    "SIZE",
    "SKILLS",
    "Question",
    "Region",
    "Scene",
    "Shape",
    "Text",
    "ask",
    "draw",
    "sample_scene",
    "seeded",
]
