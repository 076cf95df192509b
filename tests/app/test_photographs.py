"""What the command line does with a photograph: a hint beside the answer, the real eye for a picture."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from apet.app import picture as drawing
from apet.app.main import app

NOISE = Image.effect_noise((96, 96), 90).convert("RGB")


@pytest.fixture
def photograph(tmp_path):
    NOISE.save(tmp_path / "photograph.png")
    return str(tmp_path / "photograph.png")


def test_ask_tells_what_the_model_knows(photograph):
    done = CliRunner().invoke(app, ["ask", photograph, "What is this?", "--keep", "64", "--json"])
    assert done.exit_code == 0, done.output
    assert "does not look drawn" in json.loads(done.stdout)["hint"]
    drawn = CliRunner().invoke(app, ["ask", "examples/scene.png", "What is this?", "--keep", "64", "--json"])
    assert "hint" not in json.loads(drawn.stdout)


@pytest.mark.parametrize("installed", [True, False])
def test_picture_takes_the_real_eye_for_photographs(photograph, tmp_path, monkeypatch, installed):
    asked = []

    def load(name, *_, **options):
        asked.append(name)
        raise SystemExit(0)

    monkeypatch.setattr(drawing, "is_fetched", lambda: installed)
    monkeypatch.setattr(drawing, "load_with_spinner", load)
    for path in (photograph, "examples/scene.png"):
        CliRunner().invoke(app, ["picture", path, "--keep", "64", "--output", str(tmp_path / "out.png")])
    assert asked == ["dinov2" if installed else None, None]
