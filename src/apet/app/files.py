"""Picture files, opened with care."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from apet.core.errors import ApETError

__all__ = ["MOST_PIXELS", "open_picture", "save_picture"]

MOST_PIXELS = 100_000_000
"""Pictures of more pixels are refused before they are decoded."""


def open_picture(path: Path, operation: str = "ask") -> Image.Image:
    """Reads a picture file as RGB, turned upright.

    Raises:
        ApETError: If the file is missing, no picture, damaged, or larger than ``MOST_PIXELS``.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ApETError(operation, f"{path} ({what})", "a picture file")
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is lower than ours and only warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MOST_PIXELS:
                    size = f"{image.width} x {image.height} pixels"
                    raise ApETError(operation, f"{path} ({size})", f"at most {MOST_PIXELS:,} pixels")
                return _upright(image).convert("RGB")
    except ApETError:
        raise
    except UnidentifiedImageError as error:
        raise ApETError(operation, f"{path} (not a picture)", "a picture file such as PNG or JPEG") from error
    except Image.DecompressionBombError as error:
        raise ApETError(operation, f"{path} (too large)", f"at most {MOST_PIXELS:,} pixels") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ApETError(
            operation, f"{path} (damaged or unreadable: {error})", "a whole picture file"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def save_picture(image: Image.Image, path: Path, operation: str = "ask --picture") -> None:
    """Writes a picture.

    Raises:
        ApETError: If the ending names no picture format, or the file cannot be written.
    """
    try:
        image.save(path)
    except (OSError, ValueError) as error:
        raise ApETError(operation, f"{path} ({error})", "a writable path ending in .png or .jpg") from error
