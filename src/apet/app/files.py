"""Picture files, opened with care."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from apet.core.errors import ApETError

STDOUT = Path("-")
"""Names standard output in place of a file."""
MOST_PIXELS = 100_000_000
"""Pictures of more pixels are refused before they are decoded."""
LONGEST_SHAPE = 50
"""So are pictures whose sides differ by more than this: resizing by the short side would explode them."""


def open_picture(path: Path, operation: str = "ask") -> Image.Image:
    """Reads a picture file as RGB, turned upright, transparency on white, 16 bits a channel brought to 8."""
    with opened(path, operation) as image:
        return as_rgb(ImageOps.exif_transpose(image), path, operation)


@contextmanager
def opened(path: Path, operation: str) -> Iterator[Image.Image]:
    """A picture file whose size is acceptable; what goes wrong in the block with it is told of the file."""
    try:
        if not path.is_file():
            problem = "a folder" if path.is_dir() else "no such file"
            raise ApETError(operation, f"{path} ({problem})", "a picture file")
        with warnings.catch_warnings():
            # Pillow's own limit is lower than ours and only warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                check_size(image.size, f"{path} ({image.width} x {image.height} pixels)", operation)
                yield image
    except ApETError:
        raise
    except UnidentifiedImageError as error:
        raise ApETError(operation, f"{path} (not a picture)", "a picture file such as PNG or JPEG") from error
    except Image.DecompressionBombError as error:
        raise ApETError(operation, f"{path} (too large)", f"at most {MOST_PIXELS:,} pixels") from error
    except Exception as error:
        raise ApETError(
            operation, f"{path} (damaged or unreadable: {error})", "a whole picture file"
        ) from error


def check_size(size: tuple[int, int], got: str, operation: str) -> None:
    """Refuses pictures that are too large or too thin, before work is done for one."""
    width, height = size
    if width * height > MOST_PIXELS:
        raise ApETError(operation, got, f"at most {MOST_PIXELS:,} pixels")
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        raise ApETError(operation, got, f"sides that differ by a factor of {LONGEST_SHAPE} at most")


def as_rgb(image: Image.Image, path: Path, operation: str) -> Image.Image:
    """A picture of any mode as RGB, transparency on white, 16 bits a channel brought to 8."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ApETError(operation, f"{path} (32 bits a channel)", "a picture of 8 or 16 bits a channel")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB")


def check_picture_path(path: Path, operation: str, given: Sequence[object] = ()) -> None:
    """Checks that a picture can be written there, over none of those given, before work is done for it."""
    if path == STDOUT:
        if sys.stdout.isatty():
            raise ApETError(operation, "- on a terminal", "a pipe, or a path ending in .png or .jpg")
        return
    Image.init()
    form = Image.registered_extensions().get(path.suffix.lower())
    if form not in Image.SAVE:
        raise ApETError(operation, f"{path} (ending {path.suffix!r})", "a path ending in .png or .jpg")
    if not path.parent.is_dir():
        raise ApETError(operation, f"{path} (no such folder)", "a path in a folder that exists")
    if path.exists() and any(Path(str(one)).exists() and path.samefile(str(one)) for one in given):
        raise ApETError(operation, f"{path}, which is read", "another path than the picture's own")


def save_picture(image: Image.Image, path: Path, operation: str) -> None:
    """Writes a picture; to standard output as PNG."""
    if path == STDOUT:  # what goes wrong there goes wrong for every command alike
        data = BytesIO()
        image.save(data, "PNG")
        sys.stdout.buffer.write(data.getbuffer())
        return
    try:
        image.save(path)
    except (OSError, ValueError) as error:
        raise ApETError(operation, f"{path} ({error})", "a writable path ending in .png or .jpg") from error


def expanded(name: str, operation: str) -> Path:
    """A path with ``~`` in it as the folder that it means."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ApETError(operation, name, "a path; no such user is known") from error
