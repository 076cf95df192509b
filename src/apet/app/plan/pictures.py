"""A picture as a model type's image processor hands it to the model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from apet.app.command import typed
from apet.core.errors import ApETError

_TOKENS, _PIXELS = 36, 1008
"""Sides of a square picture in visual tokens, or else in pixels, where the encoder has no size of its own."""
_NO_LIMIT = {"shortest_edge": 1, "longest_edge": 10**9}
_TYPES = {
    "fast_vlm": "CLIPImageProcessor",
    "glm4v_moe": "Glm4vImageProcessor",
    "glm_ocr": "Glm46VImageProcessor",
    "qwen2_5_omni_thinker": "Qwen2VLImageProcessor",
    "qwen3_omni_moe_thinker": "Qwen2VLImageProcessor",
    "qwen3_vl_moe": "Qwen2VLImageProcessor",
}
"""Those of types for which transformers names none, as their checkpoints do."""


def usual_size(config: Any) -> tuple[int, int]:
    """Width and height of a picture if nothing is said: the encoder's own, twice that where it has tiles."""
    vision = getattr(config, "vision_config", None)
    merge = getattr(config, "spatial_merge_size", getattr(vision, "spatial_merge_size", None))
    side, patch = _side(vision), getattr(vision, "patch_size", None)
    if isinstance(merge, int) and isinstance(patch, int):
        return (_TOKENS * merge * patch,) * 2
    return ((side or _PIXELS) * (2 if hasattr(config, "image_grid_pinpoints") else 1),) * 2


def pixels_of(
    config: Any, picture: Image.Image, *, trust_remote_code: bool = False
) -> tuple[dict[str, Any], str]:
    """One picture's tensors by name, and in words whose settings were used.

    Beside the configuration, where that was read from, are the image processor's settings, if any.
    """
    import torch
    from transformers import AutoImageProcessor
    from transformers.utils import logging

    logging.set_verbosity_error()  # of packages that would be faster
    processor: Any = None
    try:
        if config.name_or_path:
            try:
                processor = AutoImageProcessor.from_pretrained(
                    config.name_or_path, trust_remote_code=trust_remote_code
                )
                options, whose = {}, "as the model's image processor prepares them"
            except (OSError, ValueError):  # a folder with a configuration alone
                pass
        if processor is None:
            processor = _usual(config)
            options = _at_the_encoders_size(processor, config)
            whose = f"as {config.model_type} models usually have them (no preprocessor_config.json was found)"
        options |= _of_the_type(config) | {"return_tensors": "pt"}
        if (taken := getattr(processor, "valid_kwargs", None)) is not None:
            fields = {name for kind in taken.__mro__ for name in getattr(kind, "__annotations__", {})}
            options = {name: option for name, option in options.items() if name in fields}
        made = dict(processor(picture, **options))
        if "images" in made:  # Fuyu's processor cuts them when it knows the text
            side, whole = config.patch_size, made.pop("images")[0]
            high, wide = (
                side * math.ceil(int(made[f"image_unpadded_{name}s"]) / side) for name in ("height", "width")
            )
            cut = torch.nn.functional.unfold(whole[..., :high, :wide], side, stride=side)
            made["pixel_values"] = cut.transpose(1, 2)
    except (ImportError, OSError, ValueError, AttributeError, TypeError) as error:
        words = " ".join(str(error).split())
        raise ApETError(
            typed("model", "plan"),
            f"the image processor of {config.model_type} ({words})",
            "a preprocessor_config.json beside the configuration, and the packages that apet models names",
        ) from error
    return made, whose


def _side(vision: Any) -> int | None:
    side = getattr(vision, "image_size", None)
    side = side[0] if isinstance(side, (list, tuple)) else side
    return side if isinstance(side, int) else None


def _usual(config: Any) -> Any:
    """The type's image processor with its default settings."""
    from transformers import AutoImageProcessor

    name = _TYPES.get(config.model_type)
    with TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        settings = json.dumps({"image_processor_type": name} if name else {})
        Path(folder, "preprocessor_config.json").write_text(settings)
        return AutoImageProcessor.from_pretrained(folder)


def _of_the_type(config: Any) -> dict[str, Any]:
    """What the type's processor asks of its image processor whatever that is set to."""
    import transformers
    from transformers.models.auto import processing_auto as auto

    merge = getattr(config, "spatial_merge_size", None)
    if merge is not None:  # Pixtral's processor cuts what the projector merges to one token
        return {"patch_size": dict.fromkeys(("height", "width"), merge * config.vision_config.patch_size)}
    name = auto.PROCESSOR_MAPPING_NAMES.get(config.model_type)  # type: ignore[attr-defined]
    return dict(getattr(getattr(transformers, name, None), "images_kwargs", {})) if name else {}


def _at_the_encoders_size(processor: Any, config: Any) -> dict[str, Any]:
    """Settings that follow from the encoder: its one size, or patches and no limit to their number."""
    vision = getattr(config, "vision_config", None)
    side, patch = _side(vision), getattr(vision, "patch_size", None)
    if patch is not None and getattr(vision, "model_type", "") == "dinov2":
        # Its image_size is that of its positions, which it resamples.
        side = math.isqrt(config.image_seq_length) * patch
    edges = {name for name, edge in dict(getattr(processor, "size", None) or {}).items() if edge is not None}
    sizes: dict[str, Any] = {}
    if edges == {"shortest_edge", "longest_edge"} and isinstance(getattr(processor, "merge_size", None), int):
        sizes["size"] = _NO_LIMIT
    elif side is not None and edges == {"longest_edge"}:
        sizes["size"] = {"longest_edge": 4 * side if hasattr(processor, "max_image_size") else side}
    elif side is not None and edges in ({"height", "width"}, {"shortest_edge"}):
        sizes["size"] = dict.fromkeys(edges, side)
    if side is not None and getattr(processor, "crop_size", None) is not None:
        sizes["crop_size"] = {"height": side, "width": side}
    most = getattr(processor, "max_image_size", None)
    if side is not None and most is not None:
        sizes["max_image_size"] = {"longest_edge": side} if isinstance(most, dict) else side
    if isinstance(getattr(processor, "patch_size", None), int) and isinstance(patch, int):
        sizes["patch_size"] = patch
    for name, told in (("merge_size", vision), ("image_grid_pinpoints", config)):
        other = "spatial_merge_size" if name == "merge_size" else name
        if getattr(processor, name, None) is not None and getattr(told, other, None) is not None:
            sizes[name] = getattr(told, other)
    return sizes
