"""The model families that can be compressed: one row each, keyed by ``config.model_type``.

A new family that has the parts named in `Family` touches three places:

1. A row in ``FAMILIES`` below.
2. A tiny model in ``tests/hf/tiny.py`` and its row in the tests' tables.
3. A row in the documentation's table of models.

A family that cuts its features into segments in another way also touches ``VisionStage._lengths``; one whose
base model builds masks or positions of its own, ``BaseStage.before``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from apet.core.errors import ApETError

__all__ = ["FAMILIES", "Family", "family_of", "supported_models"]


@dataclass(frozen=True)
class Family:
    """Where the parts of one model family are.

    All attribute names are relative to the base model (``model.base_model``).

    Attributes:
        model_type: ``config.model_type`` of the checkpoints.
        title: The family's name in prose.
        classes: Names of the model classes that are accepted.
        text: Attribute of the text model, whose ``layers`` are the decoder layers.
        features: Methods that turn pixels into features, outermost last.
        placeholder: Config attribute with the id of the token that stands for one visual token.
        modality: Key of the features in ``mm_encoder_outputs``.
        projector: Attribute of the module between the vision encoder and the text model, which must map every
            token by itself (one row in, one row out).
        sizes: Argument of the feature method that, when given, says how long each image's segment is.
        inputs: What the family takes, for people to read.
        checkpoints: Examples of checkpoints on the Hub.
    """

    model_type: str
    title: str
    classes: tuple[str, ...]
    text: str = "language_model"
    features: tuple[str, ...] = ("get_image_features",)
    placeholder: str = "image_token_id"
    modality: str = "image"
    projector: str = "multi_modal_projector"
    sizes: str = "image_sizes"
    inputs: tuple[str, ...] = ("image",)
    checkpoints: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            model_type="llava",
            title="LLaVA-1.5",
            classes=("LlavaForConditionalGeneration",),
            checkpoints=("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-13b-hf"),
        ),
    )
}


def supported_models() -> list[Family]:
    """List the supported families, ordered by model type."""
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
    expected = "a supported model: " + "; ".join(
        f"{' or '.join(family.classes)} (model type {family.model_type!r})" for family in supported_models()
    )
    if not isinstance(model, nn.Module):
        raise ApETError(operation, f"an object of type {type(model).__name__}", expected)
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    names = {cls.__name__ for cls in type(model).__mro__}
    if family is None or not names.intersection(family.classes):
        raise ApETError(operation, f"{type(model).__name__} (model type {model_type!r})", expected)
    return family
