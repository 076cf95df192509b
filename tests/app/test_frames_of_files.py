"""Pictures and videos from files, and what is seen of a video's frames."""

from __future__ import annotations

import json
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from transformers import BatchFeature
from typer.testing import CliRunner

import apet
from apet import embedded
from apet.app.answering import question_inputs
from apet.app.frames import FRAMES, open_frames
from apet.app.look import look_at
from apet.app.main import app
from apet.core.errors import ApETError
from apet.pictures.plot import read
from apet.scenes import seeded
from apet.scenes.video import draw_clip, sample_clip


def grey(number, size=(40, 30)):
    return Image.new("RGB", size, (number, number, number))


def numbers(frames):
    return [int(np.asarray(frame)[0, 0, 0]) for frame in frames]


@pytest.fixture(scope="module")
def clip():
    return [Image.fromarray(frame) for frame in draw_clip(sample_clip(seeded("test", 0)))]


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.png"])
def test_an_animated_file_is_its_frames_evenly_spread(tmp_path, name):
    film = [grey(10 * number) for number in range(20)]
    options = {"lossless": True} if name.endswith("webp") else {}
    film[0].save(tmp_path / name, save_all=True, append_images=film[1:], duration=50, **options)
    four = open_frames([tmp_path / name], 4)
    assert numbers(four) == [20, 70, 120, 170]
    assert [frame.info["frame"] for frame in four] == [(3, 20), (8, 20), (13, 20), (18, 20)]
    assert numbers(open_frames([tmp_path / name], 20)) == [10 * number for number in range(20)]
    assert len(open_frames([tmp_path / name])) == FRAMES
    assert len(open_frames([tmp_path / name], 1)) == 1


def test_a_folder_goes_by_the_numbers_in_its_names(tmp_path):
    for number in (10, 9, 1, 2):
        grey(number).save(tmp_path / f"frame-{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert numbers(open_frames([tmp_path])) == [1, 2, 9, 10]
    assert [frame.info["frame"] for frame in open_frames([tmp_path], 2)] == [(2, 4), (4, 4)]
    assert numbers(open_frames([tmp_path / "frame-10.png", tmp_path / "frame-2.png"])) == [10, 2]
    assert numbers(open_frames([tmp_path / "frame-9.png"])) == [9]


def test_pictures_of_other_kinds_in_one_file_are_no_video(tmp_path):
    for name in ("pages.tiff", "stereo.mpo"):
        grey(5).save(tmp_path / name, save_all=True, append_images=[grey(90)])
        assert len(open_frames([tmp_path / name])) == 1, name


def test_what_is_no_video_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    grey(1).save(tmp_path / "a.png")
    grey(2, (30, 40)).save(tmp_path / "b.png")
    (tmp_path / "cut.webp").write_bytes(b"RIFF____WEBPVP8X")
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    monkeypatch.setitem(sys.modules, "av", None)
    for names, most, words in (
        (["empty"], 2, "no picture in it"),
        (["a.png", "b.png"], 2, "frames of one size"),
        (["a.png", "c.png"], 2, "no such file"),
        (["cut.webp"], 2, "cut.webp"),
        (["clip.mp4"], 2, "pip install"),
        (["a.png"], 0, "at least 1"),
    ):
        with pytest.raises(ApETError, match=words):
            open_frames([tmp_path / name for name in names], most)


def test_too_long_a_film_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    film = [grey(number) for number in range(20)]
    film[0].save(tmp_path / "long.gif", save_all=True, append_images=film[1:])
    monkeypatch.setattr("apet.app.frames.MOST_PIXELS", 1_000)
    with pytest.raises(ApETError, match="20 frames or more of 40 x 30 pixels"):
        open_frames([tmp_path / "long.gif"])


def test_a_video_file(tmp_path, monkeypatch):
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            for packet in stream.encode(av.VideoFrame.from_image(grey(10 * number, (64, 48)))):
                container.mux(packet)
        container.mux(stream.encode())
    found = numbers(open_frames([tmp_path / "clip.mp4"], 4))
    assert np.allclose(found, [20, 70, 120, 170], atol=6)
    monkeypatch.setattr("apet.app.frames.MOST_PIXELS", 200)
    with pytest.raises(ApETError, match="14 frames or more of 64 x 48"):
        open_frames([tmp_path / "clip.mp4"])
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(ApETError, match="a whole video"):
        open_frames([tmp_path / "clip.mp4"])


def test_frames_go_in_as_pictures_where_a_model_takes_no_video(clip):
    model, processor = embedded.load()
    frames = clip[:3]
    look = look_at(model, processor, frames)
    for method in (apet.ApET(40), apet.Random(9, seed=1)):
        with apet.compressing(model, method) as session:
            model(**question_inputs(model, processor, frames, "what moved?"))
        assert [one.image for one in session.images] == [0, 1, 2]
        for mine, theirs in zip(look.decide(method), session.images, strict=True):
            assert torch.equal(mine.indices, theirs.indices)
    _, (drawn,) = read(frames, [look.decide(apet.ApET(40))], processor=processor)
    assert [grid.frame for grid in drawn.grids] == [0, 1, 2]
    assert drawn.kept.reshape(3, 576).sum(1).tolist() == [40, 40, 40]
    for number, frame in enumerate(frames):  # each frame is decided on as if it were alone
        (alone,) = look_at(model, processor, frame).decide(apet.ApET(40))
        kept = np.flatnonzero(drawn.kept[576 * number : 576 * (number + 1)])
        assert kept.tolist() == alone.indices.tolist()


class _Reader:
    """Stands for a processor with a part for videos: the inputs of a recipe."""

    video_processor = object()

    def __init__(self, inputs):
        self.inputs, self.asked = inputs, []

    def apply_chat_template(self, conversation, **options):
        assert options["processor_kwargs"]["do_sample_frames"] is False
        self.asked.append(conversation[0]["content"])
        return BatchFeature(self.inputs)


def test_a_model_that_takes_videos_gets_one():
    recipe = RECIPES["qwen2_5_vl"]
    model, reader = recipe.build("sdpa"), _Reader(batch(recipe, [["v", 2]]))
    frames = [grey(number, (32, 32)) for number in range(4)]
    look = look_at(model, reader, frames)
    assert [part["type"] for part in reader.asked[0]] == ["video", "text"]
    assert reader.asked[0][0]["video"] == frames
    assert [(one.modality, one.part) for one in look.results] == [("video", 0), ("video", 1)]
    with apet.compressing(model, apet.ApET(5)) as session:
        model(**reader.inputs)
    for mine, theirs in zip(look.decide(apet.ApET(5)), session.images, strict=True):
        assert torch.equal(mine.indices, theirs.indices)
    assert apet.plot(frames, look.decide(apet.ApET(5))).width > 0


def test_the_command_draws_a_contact_sheet(clip, tmp_path):
    clip[0].save(tmp_path / "clip.webp", save_all=True, append_images=clip[1:], duration=200)
    out = tmp_path / "out.png"
    arguments = ["picture", str(tmp_path / "clip.webp"), "--keep", "32", "--output", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--frames", "4", "--method", "random"])
    assert done.exit_code == 0, done.output
    width, height = Image.open(out).size
    assert 2 * 480 < width < 3 * 480, "two frames in a row"
    assert 2 * 480 < height < 3 * 480


def test_a_question_about_a_video(clip, tmp_path):
    clip[0].save(tmp_path / "clip.webp", save_all=True, append_images=clip[1:], duration=200)
    out = tmp_path / "out.png"
    arguments = ["ask", str(tmp_path / "clip.webp"), "what moved?", "--keep", "32", "--picture", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--max-new-tokens", "1", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["visual_tokens"], report["kept_tokens"]) == (FRAMES * 576, FRAMES * 32)
    assert Image.open(out).height > 3 * 2 * 300, "three panels of two rows of frames"
