"""The examples run offline as they are; for Qwen, whose processor needs torchvision, loading is replaced."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import transformers
from transformers import BatchFeature

import apet
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURE = str(EXAMPLES / "scene.png")


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No example asks a hub for anything by itself."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


class Reader:
    """Stands for Qwen's processor: the inputs of a recipe, whatever the conversation says."""

    def __init__(self, recipe, row):
        self.inputs = batch(recipe, [row])

    def apply_chat_template(self, conversation, **options):
        kinds = [part["type"] for part in conversation[0]["content"]]
        assert kinds[-1] == "text"
        assert options["tokenize"]
        assert options["return_dict"]
        return BatchFeature(self.inputs)

    def batch_decode(self, ids, **_):
        return [" ".join(map(str, row)) for row in ids.tolist()]


@pytest.fixture
def tiny_qwen(monkeypatch):
    recipe = RECIPES["qwen2_5_vl"]
    model, reader = recipe.build("sdpa"), Reader(recipe, ["v", 2, "i", 5])
    auto = transformers.AutoModelForImageTextToText
    monkeypatch.setattr(auto, "from_pretrained", lambda *_, **__: model)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda *_, **__: reader)


def test_llava(capsys):
    example("llava").main([])
    answer, counts, worst = capsys.readouterr().out.splitlines()
    assert answer == "OTTER"
    assert worst.startswith("worst explained: token ")
    assert [int(word) for word in counts.replace(",", "").split() if word.isdigit()] == [576, 96, 0, 32]


@pytest.mark.parametrize("keep", [64, 1.0])
def test_batch(capsys, monkeypatch, keep):
    """All answers are right, also with all tokens."""
    module, method = example("batch"), apet.ApET(keep)
    monkeypatch.setattr(module.apet, "ApET", lambda keep: method)
    module.main([])
    kept = f"{64 if keep == 64 else 576} of 576"
    assert capsys.readouterr().out.splitlines() == [
        f"square ({kept})",
        f"OTTER ({kept}, {kept})",
        "no (no picture)",
    ]


def test_any_family(capsys):
    example("families").main([])
    assert capsys.readouterr().out.splitlines() == ["OTTER", "image 0, part 0: 144 of 576 tokens"]


def test_video_as_pictures(capsys):
    example("video").main([])
    assert capsys.readouterr().out.splitlines()[1:] == ["image: 232 of 2304 tokens in 4 parts"]


@pytest.mark.usefixtures("tiny_qwen")
def test_video_of_a_model_that_takes_one(capsys):
    example("video").main(["clip.mp4", PICTURE, "What is this?", "--model", "Qwen/Qwen2.5-VL-7B-Instruct"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "video: 4 of 32 tokens in 2 parts",
        "image: 2 of 16 tokens in 1 parts",
    ]


@pytest.mark.usefixtures("tiny_qwen")
def test_a_family_that_takes_video(capsys):
    example("families").main([PICTURE, "--video", "clip.mp4", "--model", "Qwen/Qwen2.5-VL-7B-Instruct"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "video 0, part 0: 4 of 16 tokens",
        "video 0, part 1: 4 of 16 tokens",
        "image 0, part 0: 4 of 16 tokens",
    ]


def test_a_video_for_images_only(capsys):
    with pytest.raises(SystemExit):
        example("families").main(["--video", "clip.mp4"])
    assert "LLaVA-1.5 takes image only" in capsys.readouterr().err
