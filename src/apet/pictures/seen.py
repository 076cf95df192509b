"""The picture as a model saw it, where its image processor cuts or pads."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from apet.core.errors import ApETError


def seen_picture(pixels: Tensor, image_processor: Any) -> Image.Image:
    """The picture as the model saw it, from normalised pixels ``(3, height, width)``, resized and cropped."""
    values = pixels.detach().float().cpu().permute(1, 2, 0).numpy()
    values = values * np.asarray(image_processor.image_std) + np.asarray(image_processor.image_mean)
    return Image.fromarray(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8))


def processed_picture(picture: Image.Image, processor: Any) -> Image.Image:
    """Runs a processor, or an image processor, on a picture, and turns the pixels back into one."""
    image_processor = getattr(processor, "image_processor", processor)
    pixels = image_processor(images=picture, return_tensors="pt")["pixel_values"]
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        shape = f"a processor that makes pixels of shape {tuple(pixels.shape)}"
        raise ApETError(
            "plot", shape, "one that makes (1, 3, height, width), or the picture as the model saw it"
        )
    return seen_picture(pixels[0], image_processor)
