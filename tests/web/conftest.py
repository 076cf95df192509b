"""One page, served in this process, and one browser."""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import av
import pytest
from huggingface_hub import constants
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from transformers import CLIPVisionModel

from apet.app.show import launch_page
from apet.scenes import Scene, Shape, Text, draw, seeded
from apet.scenes.video import draw_clip, sample_clip

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LONG = 120_000
"""Milliseconds to wait for anything: far more than it takes, for machines with other things to do."""
expect.set_options(timeout=LONG)


@pytest.fixture(scope="session")
def served():
    """The page's address, and a list that grows with every run of a vision encoder."""
    runs: list[int] = []
    forward, lock = CLIPVisionModel.forward, threading.Lock()

    def counted(self, *args, **kwargs):
        with lock:
            runs.append(1)
        return forward(self, *args, **kwargs)

    CLIPVisionModel.forward = counted
    constants.HF_HUB_OFFLINE = True
    page = launch_page(None, "127.0.0.1", 0, wait=False)
    try:
        yield page.local_url, runs
    finally:
        page.close(verbose=False)
        CLIPVisionModel.forward = forward


@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser, served):
    """Opens the page as a visitor of his own; what the page asks for elsewhere is an error."""

    @contextmanager
    def visit(width=1400):
        context = browser.new_context(viewport={"width": width, "height": 1000})
        page = context.new_page()
        page.set_default_timeout(LONG)
        foreign: list[str] = []
        page.on("request", lambda request: foreign.append(request.url) if _is_foreign(request.url) else None)
        try:
            page.goto(served[0])
            page.wait_for_selector("#overlay img")
            yield page
        finally:
            context.close()
        assert foreign == []

    return visit


def _is_foreign(url: str) -> bool:
    return not re.match(r"(https?://127\.0\.0\.1[:/]|data:|blob:)", url)


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory):
    """A short film as an animated WebP and as MP4, and its frames as files of their own."""
    folder = tmp_path_factory.mktemp("clip")
    frames = [Image.fromarray(frame) for frame in draw_clip(sample_clip(seeded("test", 0)))]
    frames[0].save(folder / "clip.webp", save_all=True, append_images=frames[1:], duration=200)
    with av.open(str(folder / "clip.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height = frames[0].size
        for picture in [*map(av.VideoFrame.from_image, frames), None]:
            film.mux(stream.encode(picture))
    paths = []
    for number, frame in enumerate(frames[:3]):
        paths.append(str(folder / f"{number}.png"))
        frame.save(paths[-1])
    return str(folder / "clip.webp"), str(folder / "clip.mp4"), paths


@pytest.fixture(scope="session")
def photograph_file(tmp_path_factory):
    """A cup of coffee, as scikit-image has it."""
    path = tmp_path_factory.mktemp("photograph") / "coffee.jpg"
    with Image.open(Path(find_spec("skimage").origin).parent / "data" / "coffee.png") as picture:
        picture.convert("RGB").save(path)
    return str(path)


@pytest.fixture(scope="session")
def scene_file(tmp_path_factory):
    """Writes a scene with a word on it; wider than high, so that the model squeezes it."""

    def write(word: str, seed: int = 1) -> str:
        shapes = (
            Shape("star", "red", 60.0, 70.0, 26.0, 0.0),
            Shape("moon", "yellow", 250.0, 270.0, 30.0, 0.0),
        )
        scene = Scene(
            seed, light=False, shapes=shapes, texts=(Text(word, "white", 100, 160, 32, plate=False),)
        )
        path = tmp_path_factory.mktemp("upload") / f"{word.lower()}.png"
        Image.fromarray(draw(scene)).resize((420, 336)).save(path)
        return str(path)

    return write
