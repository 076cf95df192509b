"""The model families that can be compressed: one row each, keyed by ``config.model_type``.

``docs/extending.md`` tells what a new one touches, beginning with its row in ``table.py``.
"""

from __future__ import annotations

from torch import nn

from apet.core.errors import ApETError
from apet.hf.families.family import Family, Modality
from apet.hf.families.table import ROWS
from apet.hf.families.unsupported import UNSUPPORTED

__all__ = [
    "FAMILIES",
    "UNSUPPORTED",
    "Family",
    "Modality",
    "family_of",
    "supported_models",
    "takes_videos",
]

FAMILIES: dict[str, Family] = {row.model_type: row for row in ROWS}


def supported_models() -> list[Family]:
    """List the supported families, ordered by model type.

    Examples:
        >>> import apet
        >>> families = {family.model_type: family for family in apet.supported_models()}
        >>> families["qwen2_5_vl"].title, families["qwen2_5_vl"].inputs
        ('Qwen2.5-VL', ('image', 'video'))
    """
    return [FAMILIES[name] for name in sorted(FAMILIES)]


def family_of(model: nn.Module, operation: str) -> Family:
    """Find the family of a model.

    Args:
        model: A transformers model.
        operation: What the user called, for the error message.

    Returns:
        The family's row.

    Raises:
        ApETError: If the model's type is not supported, or the model is not the class with a language-model
            head.
    """
    expected = "a supported model with its language-model head: see `apet models` or apet.supported_models()"
    if not isinstance(model, nn.Module):
        raise ApETError(operation, f"an object of type {type(model).__name__}", expected)
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    names = {cls.__name__ for cls in type(model).__mro__}
    named = f"{type(model).__name__} (model type {model_type!r})"
    if isinstance(model_type, str) and model_type in UNSUPPORTED:
        got = f"{named}, which cannot be compressed: {UNSUPPORTED[model_type]}"
        raise ApETError(operation, got, "a supported model: see `apet models` or apet.supported_models()")
    if family is None:
        raise ApETError(operation, named if model_type else f"a {type(model).__name__}", expected)
    if not names.intersection(family.classes):
        wanted = " or ".join(family.classes) or "a release of transformers that has this type"
        raise ApETError(operation, named, wanted)
    return family


def takes_videos(model: nn.Module, processor: object) -> bool:
    """Whether a model takes videos as such: its family does, and its processor has a part that reads them."""
    has_reader = getattr(processor, "video_processor", None) is not None
    return has_reader and "video" in family_of(model, "video").inputs
