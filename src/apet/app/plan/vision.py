"""The vision side's shape, from a run of it without weights on a picture."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apet.app.plan.skeleton import Products, refused, watching, weights_of
from apet.hf.arguments import Given
from apet.hf.choice.features import Features
from apet.hf.families import FAMILIES
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries


@dataclass(frozen=True)
class Vision:
    """The vision side, for one picture.

    Attributes:
        parts: Visual tokens of every part (image, tile or frame) that has a budget of its own.
        others: Tokens in no part, which always stay: newlines.
        flops: Operations, but for those of an early projector.
        per_token: Operations of an early projector on one of its tokens; 0 if it does not run on kept tokens.
        weights: Weights of the encoder and the projector.
        out: Width of the tokens that ApET compares.
    """

    parts: tuple[int, ...]
    others: int
    flops: float
    per_token: float
    weights: int
    out: int

    @property
    def tokens(self) -> int:
        """Visual tokens of the picture."""
        return sum(self.parts) + self.others


def vision_of(model: Any, given: dict[str, Any]) -> Vision:
    """Reads the vision side's shape off a `skeleton`, given a picture or clip as a processor makes it."""
    base = model.base_model
    family = FAMILIES[model.config.model_type]
    modality = next((one for one in family.modalities if one.pixels in given), family.modalities[0])
    method = getattr(base, modality.method)
    names = list(inspect.signature(method).parameters)
    if modality.pixels not in names:  # a method for pictures and clips alike
        given = {**given, names[0]: given.get(modality.pixels)}
    given = {name: value for name, value in given.items() if name in names}
    arguments = Given({name: _plain(value) for name, value in given.items()})
    projector = getattr(base, family.projector) if family.projector else None
    spent: dict[int, int] = {}
    inputs: list[Tensor] = []
    counted, watched = Products(), [projector] if projector is not None else []
    with refused(model.config, "a picture"):
        with torch.no_grad(), counted, watching(watched, counted, spent, inputs):
            output = method(**arguments)
        features = Features.of(output)
        images = (modality.layout or entries)(Visual(base, arguments, features.entries))
    parts = tuple(len(rows) for image in images for rows in image)
    total, width, later = len(features.rows), features.rows.shape[-1], 0
    if projector is not None:
        width, later = inputs[0].shape[-1], spent[id(projector)]
    language = (family.text_of(base), model.get_input_embeddings(), model.get_output_embeddings())
    return Vision(
        parts=parts,
        others=total - sum(parts),
        flops=counted.flops - later,
        per_token=later / total,
        weights=weights_of(model) - weights_of(*language),
        out=width,
    )


def _plain(value: Any) -> Any:
    """As the skeleton's own tensors are: on the CPU, in float32."""
    if not isinstance(value, Tensor):
        return value
    return value.float().cpu() if value.is_floating_point() else value.cpu()
