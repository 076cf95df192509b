"""What lmms-eval reads from this package's entry point: where the ``apet`` model is."""

from __future__ import annotations

from typing import Any

__all__ = ["manifest"]


def manifest() -> Any:
    """The model's manifest; lmms-eval calls this when it starts, so nothing heavy is imported here."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="apet", chat_class_path="apet.app.lmms.model.ApETModel")
