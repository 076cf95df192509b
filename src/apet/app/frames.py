"""A picture, or the frames of a video: out of an animated file, a folder, or several files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from apet.app.files import MOST_PIXELS, as_rgb, open_picture, opened
from apet.core.errors import ApETError
from apet.installing import install

FRAMES = 6
"""Frames taken of a video where nothing else is said: 3,456 of the 4,096 tokens that LLaVA-1.5 can take."""
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
"""Formats whose several pictures are a video; those of others, such as MPO and TIFF, are something else."""
_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"}


def open_frames(paths: Sequence[Path], most: int = FRAMES, operation: str = "picture") -> list[Image.Image]:
    """Reads a picture, or the frames of a video, evenly spread over it.

    Args:
        paths: A picture; an animated GIF, WebP, PNG or AVIF; a video, where PyAV is installed; a folder of
            frames, in the order of their names, numbers in them counted as such; or several pictures.
        most: Most frames to take.
        operation: What the user called, for errors.

    Returns:
        One picture, or at least two of one size. Of frames ``info["frame"]`` tells the number, from 1 on, and
        how many there are.
    """
    if most < 1:
        raise ApETError(operation, f"{most} frames", "at least 1")
    if len(paths) == 1 and paths[0].is_dir():
        paths = _files_of(paths[0], operation)
    if len(paths) == 1:
        return _film(paths[0], most, operation)
    frames = [
        _numbered(open_picture(paths[number], operation), number, len(paths))
        for number in _spread(len(paths), most)
    ]
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        shapes = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
        raise ApETError(operation, f"frames of {shapes} pixels", "frames of one size")
    return frames


def _files_of(folder: Path, operation: str) -> list[Path]:
    Image.init()
    suffixes = Image.registered_extensions()
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file()]
    if not files:
        raise ApETError(operation, f"{folder} (no picture in it)", "a folder of frames such as 001.png")
    return sorted(files, key=natural)


def natural(path: Path | str) -> list[tuple[int, str]]:
    """A key that sorts files by their names, and numbers in these by their value: 2 before 10."""
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _spread(count: int, most: int) -> list[int]:
    """Numbers of at most so many frames out of ``count``: the middles of as many equal stretches."""
    taken = min(count, most)
    return [(2 * number + 1) * count // (2 * taken) for number in range(taken)]


def _numbered(frame: Image.Image, number: int, count: int) -> Image.Image:
    frame.info["frame"] = (number + 1, count)
    return frame


def _film(path: Path, most: int, operation: str) -> list[Image.Image]:
    """The frames of one file: a single one where it is a still picture."""
    if path.suffix.lower() in _VIDEOS and path.is_file():
        return _decoded(path, most, operation)
    with opened(path, operation) as image:
        count: int = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
        if count == 1:
            return [open_picture(path, operation)]
        _check_length(path, count, image, 20 * MOST_PIXELS, operation)
        frames = []
        for number in _spread(count, most):
            image.seek(number)
            frames.append(_numbered(as_rgb(image, path, operation), number, count))
        return frames


def _check_length(path: Path, count: int, frame: Any, most: int, operation: str) -> None:
    if count * frame.width * frame.height > most:
        got = f"{path} ({count:,} frames or more of {frame.width} x {frame.height} pixels)"
        raise ApETError(operation, got, f"at most {most:,} pixels in all")


def _decoded(path: Path, most: int, operation: str) -> list[Image.Image]:
    """The frames of a video; it is decoded twice, since its header may not tell how many there are."""
    try:
        import av
    except ImportError as error:
        expected = f"an animated GIF or WebP, a folder of frames, or PyAV: {install('video')}"
        raise ApETError(operation, f"{path} (a video, and no PyAV)", expected) from error
    try:
        count = 0
        for count, frame in enumerate(_pictures(av, path), start=1):
            _check_length(path, count, frame, 200 * MOST_PIXELS, operation)
        numbers = set(_spread(count, most))
        frames: list[Image.Image] = [
            _numbered(frame.to_image(), number, count)
            for number, frame in enumerate(_pictures(av, path))
            if number in numbers
        ]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ApETError(operation, f"{path} (damaged or unreadable: {error})", "a whole video") from error
    if not frames:
        raise ApETError(operation, f"{path} (no frame in it)", "a whole video")
    return frames


def _pictures(av: Any, path: Path) -> Any:
    """Decodes the first video stream of a file."""
    with av.open(str(path)) as container:
        yield from container.decode(video=0)
