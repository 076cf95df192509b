"""A server in processes of its own, started by ``apet serve`` and stopped whatever happens."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.vllm.engine import ENVIRONMENT


@contextmanager
def serving(*arguments: str, log: Path, seconds: int = 600) -> Iterator[str]:
    """Runs ``apet serve`` with these arguments; yields the server's address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apet.app.main", "serve", *arguments]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, log, seconds)
            yield address
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


def _wait(address: str, process: Any, log: Path, seconds: int) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        try:
            if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"no answer in {seconds} s: {log.read_text(encoding='utf-8')[-3000:]}")


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
