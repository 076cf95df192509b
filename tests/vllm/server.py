"""A server in processes of its own, started by ``apet serve`` and stopped whatever happens."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.server import running
from PIL import Image

from tests.vllm.engine import ENVIRONMENT


@contextmanager
def serving(*arguments: str, log: Path, seconds: int = 600) -> Iterator[str]:
    """Runs ``apet serve`` with these arguments; yields the server's address once it answers."""
    with running(["apet.app.main", "serve", *arguments], log, ENVIRONMENT, seconds) as (address, _):
        yield address


def data_url(image: Image.Image | bytes) -> str:
    """A picture, or bytes that claim to be one, as a URL."""
    if not isinstance(image, bytes):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        image = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(image).decode()


def question(image: Image.Image | bytes, text: str) -> list[dict[str, Any]]:
    """A chat of one question about a picture."""
    picture = {"type": "image_url", "image_url": {"url": data_url(image)}}
    return [{"role": "user", "content": [picture, {"type": "text", "text": text}]}]
