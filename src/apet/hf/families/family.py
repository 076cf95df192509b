"""What the integration has to know about a model family: where its parts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from torch import Tensor

from apet.hf.families.begins import Begins
from apet.hf.families.shrink import Shrink
from apet.hf.grid import Grid
from apet.hf.inner import uncompiled


@dataclass(frozen=True)
class Visual:
    """One call of a feature method, for a layout to read.

    Attributes:
        base: The base model.
        arguments: What the feature method was called with, by name.
        entries: Leading shape of every entry of its output: ``(n,)`` for n tokens, ``(tiles, n)`` for tiles
            of n tokens.
    """

    base: Any
    arguments: dict[str, Any]
    entries: tuple[tuple[int, ...], ...]


Layout = Callable[[Visual], Sequence[Sequence[Tensor]]]
"""Which rows of the features belong together: per image or video, per tile or frame of it, the row numbers.

Rows are counted over all entries. Those in no part (newline tokens) are always kept.
"""

Grids = Callable[[Visual, Sequence[Sequence[Tensor]]], Sequence[Sequence[Grid]]]
"""Where the tokens lie on the pictures: the grids of every image or video, given what the layout returned."""


@dataclass(frozen=True)
class Modality:
    """One kind of visual input.

    Attributes:
        name: ``"image"`` or ``"video"``; the key of the features in ``mm_encoder_outputs``.
        method: Method of the base model that turns pixels into features.
        pixels: Its input, as the model's ``forward`` names it.
        placeholder: Config attribute with the id of the token that stands for one visual token.
        layout: Cuts the features into images and their parts; None: every entry of the output is one image,
            and tiles are its parts.
        grids: Tells where the tokens lie on the pictures; None: that is not known, and nothing can be drawn.
        shrink: How the encoder is given smaller pictures; None where it takes no others.
        begins: Tells which tiles begin an image, where the layout cannot: see ``begins.py``.
        no_whole: Why nothing tells which tiles or frames are one image or video, so that ``unit="whole"``
            cannot be had; None where it can.
    """

    name: str
    method: str
    pixels: str
    placeholder: str
    layout: Layout | None = None
    grids: Grids | None = None
    shrink: Shrink | None = None
    begins: Begins | None = None
    no_whole: str | None = None


IMAGE = Modality("image", "get_image_features", "pixel_values", "image_token_id")
VIDEO = Modality("video", "get_video_features", "pixel_values_videos", "video_token_id")


@dataclass(frozen=True)
class Family:
    """Where the parts of one model family are.

    Attribute names are relative to the base model (``model.base_model``).

    Attributes:
        model_type: ``config.model_type`` of the checkpoints.
        title: The family's name in prose.
        modalities: What the family takes.
        text: Attribute of the text model, whose ``layers`` are the decoder layers.
        projector: Attribute of a projector that maps every token by itself and whose output is the features:
            stage 1 can then come before it. None where there is none.
        encoder: Attribute of the module that holds the vision encoder's layers, where
            ``config.vision_feature_layer`` says which of them gives the features, all its patches in order;
            None where that is not so.
        base_masks: Whether the base model, not the text model, builds the layers' masks.
        tiles: Whether images are cut into tiles, each an image to the budget.
        note: What users of this family alone have to know.
        one_stage: Why stage 2 cannot be had; None where it can.
        needs: Packages that the family's processor needs beyond transformers and pillow: torchvision where
            transformers has no image processor on pillow for the type, or one for videos.
        checkpoints: Examples of checkpoints on the Hub.
    """

    model_type: str
    title: str
    modalities: tuple[Modality, ...] = (IMAGE,)
    text: str = "language_model"
    projector: str | None = None
    encoder: str | None = None
    base_masks: bool = False
    tiles: bool = False
    note: str | None = None
    one_stage: str | None = None
    needs: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model classes that are accepted: those that transformers has for the type.

        Empty where the installed transformers does not have it.
        """
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        names = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(self.model_type, ())
        return (names,) if isinstance(names, str) else tuple(names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the family takes, for people to read."""
        return tuple(modality.name for modality in self.modalities)

    @property
    def no_whole(self) -> str | None:
        """Why ``unit="whole"`` cannot be had of anything that the family takes; None where it can."""
        reasons = [modality.no_whole for modality in self.modalities]
        return reasons[0] if all(reasons) else None

    @property
    def parts(self) -> str:
        """What gets a budget of its own, for people to read."""
        return ("tile" if self.tiles else "image") + (", frame" if "video" in self.inputs else "")

    def text_of(self, base: Any) -> Any:
        """The text model in a base model, whether or not it is compiled; None where it is missing."""
        return uncompiled(reduce(lambda owner, name: getattr(owner, name, None), self.text.split("."), base))
