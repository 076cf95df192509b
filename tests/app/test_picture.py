"""``apet picture``, and the look that it takes."""

import io

import pytest
import torch
from PIL import Image
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from typer.testing import CliRunner

import apet
from apet import embedded
from apet.app.answering import question_inputs
from apet.app.look import look_at
from apet.app.main import app
from apet.core.errors import ApETError
from apet.hf.families import FAMILIES
from apet.scenes import draw, sample_scene, seeded


@pytest.fixture(scope="module")
def scene():
    return Image.fromarray(draw(sample_scene(seeded("test", 3))))


@pytest.fixture(scope="module")
def loaded():
    return embedded.load()


def test_a_look_decides_as_the_model_does_and_runs_the_encoder_once(loaded, scene):
    model, processor = loaded
    runs = []
    handle = model.model.vision_tower.register_forward_hook(lambda *_: runs.append(1))
    look = look_at(model, processor, scene)
    assert len(runs) == 1
    methods = [apet.ApET(64), apet.ApET(0.2, merge=False), apet.Random(32, seed=3), apet.ApET(1.0)]
    methods += [apet.Spread(64), apet.ApET(64, at="projector_output")]
    decided = [look.decide(method) for method in methods]
    assert len(runs) == 1
    handle.remove()
    for method, (mine,) in zip(methods, decided, strict=True):
        with apet.compressing(model, method) as session:
            model(**question_inputs(model, processor, scene, "what is this?"))
        (theirs,) = session.images
        assert torch.equal(mine.indices, theirs.indices)
        assert torch.equal(mine.selection.assignment, theirs.selection.assignment)
        assert torch.equal(mine.errors, theirs.errors)
        assert mine.grids == theirs.grids
        assert mine.stage1 is None or torch.equal(mine.stage1.tokens, theirs.stage1.tokens)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.projector])
def test_a_look_decides_behind_the_projector_where_a_method_does(name, scene, monkeypatch):
    recipe = RECIPES[name]
    model, inputs = recipe.build("sdpa"), batch(recipe, [["i", 2]])
    monkeypatch.setattr("apet.app.look.question_inputs", lambda *_: inputs)
    look, method = look_at(model, None, scene), apet.ApET(12, at="projector_output")
    with apet.compressing(model, method) as session:
        model(**inputs)
    (mine,), (theirs,) = look.decide(method), session.images
    assert torch.equal(mine.indices, theirs.indices)
    assert torch.allclose(mine.errors, theirs.errors, rtol=1e-4, atol=1e-5)


def _run(*arguments):
    return CliRunner().invoke(app, ["picture", *map(str, arguments)], catch_exceptions=True)


def test_budgets_side_by_side(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    done = _run(tmp_path / "scene.png", "--keep", "32,0.5", "--output", tmp_path / "out.png")
    assert done.exit_code == 0, done.output
    width, height = Image.open(tmp_path / "out.png").size
    assert 2 * 336 < width < 3 * 336 < height
    done = _run(
        tmp_path / "scene.png", "--keep", "32", "--method", "random", "--output", tmp_path / "one.png"
    )
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "one.png").width < 2 * 336, "random: no errors, no merging"


@pytest.mark.parametrize("method", ["fastv", "visionzip", "pyramiddrop", "cdpruner", "greedy:rounds=4"])
def test_what_every_method_keeps_is_drawn(scene, tmp_path, method, monkeypatch):
    drawn = []
    plot = apet.pictures.plot
    monkeypatch.setattr(
        "apet.pictures.plot", lambda *given, **more: drawn.append(given) or plot(*given, **more)
    )
    scene.save(tmp_path / "scene.png")
    options = ("--method", method, "--keep", "32,64", "--output", tmp_path / "out.png")
    done = _run(tmp_path / "scene.png", *options)
    assert done.exit_code == 0, done.output
    ((_, *results),) = drawn
    kept = [sum(one.tokens_stage2 for one in result) for result in results]
    assert kept[1] < 576
    assert kept[0] < kept[1]
    if method != "pyramiddrop":
        assert kept == [32, 64]


def test_tolerances(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    done = _run(tmp_path / "scene.png", "--tolerance", "0.3,0.05", "--output", tmp_path / "out.png")
    assert done.exit_code == 0, done.output
    assert 2 * 336 < Image.open(tmp_path / "out.png").width < 3 * 336


def test_a_picture_through_pipes(scene, monkeypatch):
    data = io.BytesIO()
    scene.save(data, "PNG")
    done = CliRunner().invoke(app, ["picture", "-", "--keep", "32", "--output", "-"], input=data.getvalue())
    assert done.exit_code == 0, done.output
    assert Image.open(io.BytesIO(done.stdout_bytes)).format == "PNG"


def test_bad_requests_are_one_error_and_write_nothing(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    out = tmp_path / "out.png"
    for arguments, words in (
        (("--keep", "32,many"), "'many'"),
        (("--keep", "600"), "600"),
        (("--method", "best"), "one of apet"),
        (("--method", "downsample"), "replaces the picture"),
        (("--method", "none"), "replaces the picture"),
        (("--method", "fastv", "--keep", "600"), "keep=600 for 576"),
        (("--tolerance", "0.1", "--keep", "64"), "keep=64 and tolerance=0.1"),
        (("--tolerance", "1_0"), "picture --tolerance: got '1_0'"),
        (("--output", tmp_path / "no" / "out.png"), "no such folder"),
        (("--output", tmp_path / "scene.png"), "scene.png, which is read; expected another path"),
    ):
        error = _run(tmp_path / "scene.png", "--output", out, *arguments).exception
        assert isinstance(error, ApETError), arguments
        assert words in str(error)
    assert not out.exists()
