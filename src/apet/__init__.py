"""ApET: fewer visual tokens for vision-language models, training-free and without attention weights.

``apet.compress`` is the method on plain tensors; ``apet.apply``, ``apet.remove`` and ``apet.compressing`` run
it inside transformers models. Names are imported when first used, so that ``import apet`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from apet.implementations import offer

if TYPE_CHECKING:
    from apet import embedded, methods
    from apet.core import ApETError, Compression, Segment, Selection, compress, compress_ragged
    from apet.hf import Session, apply, compressing, remove, session, supported_models
    from apet.methods import ApET, Method, Random, Spread, Stage2
    from apet.pictures import plot

__version__ = "0.2.0"

__all__ = [
    "ApET",
    "ApETError",
    "Compression",
    "Method",
    "Random",
    "Segment",
    "Selection",
    "Session",
    "Spread",
    "Stage2",
    "__version__",
    "apply",
    "compress",
    "compress_ragged",
    "compressing",
    "embedded",
    "methods",
    "plot",
    "remove",
    "session",
    "supported_models",
]

_HOMES = {
    **dict.fromkeys(
        ("ApETError", "Compression", "Segment", "Selection", "compress", "compress_ragged"), "apet.core"
    ),
    **dict.fromkeys(("ApET", "Method", "Random", "Spread", "Stage2"), "apet.methods"),
    **dict.fromkeys(("Session", "apply", "compressing", "remove", "session", "supported_models"), "apet.hf"),
    "plot": "apet.pictures",
}
_MODULES = ("embedded", "methods")

# Loaded when a call first takes them: they import Triton.
offer("kernels", lambda: import_module("apet.kernels.calls"))


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"apet.{name}")
    else:
        raise AttributeError(f"module 'apet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
