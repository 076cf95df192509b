"""A server in processes of its own, and what it is asked: for benchmarks and tests of serving."""

from __future__ import annotations

import base64
import io
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

QUESTION = "What is in the picture?"


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, seconds: int = 900
) -> Iterator[tuple[str, int]]:
    """Runs a server and stops it whatever happens.

    Args:
        command: A module of Python and its arguments; where it listens is added.
        log: File for what it prints.
        environment: Variables to be added.
        seconds: How long it may take to start.

    Yields:
        Its address once it answers, and the number of its first process, which leads a session of its own.
    """
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + seconds
    try:
        while True:
            if process.poll() is not None or time.monotonic() > end:
                told = log.read_text(encoding="utf-8")[-3000:]
                raise RuntimeError(f"the server did not start in {seconds} s:\n{told}")
            try:
                if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield address, process.pid
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


@contextmanager
def serving(model: str | None, keep: float, options: Sequence[str], log: Path) -> Iterator[str]:
    """Runs ``apet serve``, of the embedded model if none is named; yields its address once it answers."""
    command = ["apet.app.main", "serve", *([model] if model else []), "--keep", str(keep)]
    with running([*command, "--served-model-name", "model", *options], log) as (address, _):
        yield address


def content(url: str) -> list[dict[str, Any]]:
    """A question about a picture."""
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]


def machine() -> str:
    """What it runs on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def picture(seed: int, width: int, height: int | None = None) -> str:
    """A picture of coarse noise as a URL, square unless told otherwise; no two are alike."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height or width)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
