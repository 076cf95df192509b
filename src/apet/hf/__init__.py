"""Compression of unmodified Hugging Face transformers models."""

from apet.hf.api import apply, compressing, remove, session
from apet.hf.families import Family, supported_models
from apet.hf.results import ImageResult, StageSelection
from apet.hf.sessions import Session, Totals

__all__ = [
    "Family",
    "ImageResult",
    "Session",
    "StageSelection",
    "Totals",
    "apply",
    "compressing",
    "remove",
    "session",
    "supported_models",
]
