"""``apet plan`` against figures worked out by hand."""

import json
from pathlib import Path

import pytest
from transformers import Gemma3Config
from typer.testing import CliRunner

from apet.app.known import KNOWN
from apet.app.main import app
from apet.app.plan.devices import DEVICES
from apet.core.errors import ApETError

LLAVA, QWEN = KNOWN["llava-1.5-7b"], KNOWN["qwen2.5-vl-7b"]
SHALLOW = LLAVA | {
    "text_config": LLAVA["text_config"] | {"num_hidden_layers": 4},
    "vision_config": LLAVA["vision_config"] | {"num_hidden_layers": 2},
}
"""As wide, with an eighth of the layers: for what does not depend on them."""


@pytest.fixture
def folder(tmp_path):
    def write(config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return str(tmp_path)

    return write


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=True)


def report(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_llava_7b(folder):
    """576 tokens; 4 * 4096^2 + 3 * 4096 * 11008 weights a layer; 2 * 32 * 4096 * 2 cache bytes a token."""
    found = report(folder(LLAVA), "--keep", "64", "--words", "64", "--answer", "128")
    whole, short = found["uncompressed"], found["compressed"]
    assert (whole["tokens"], short["tokens"]) == (576, 64)
    assert whole["cache_bytes"] == 524_288 * (576 + 64 + 128)
    assert short["cache_bytes"] == 524_288 * (64 + 64 + 128)
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert matrices == 6_476_005_376
    for side, length in ((whole, 640), (short, 128)):
        attention = 32 * 2 * length * length * 4096
        assert side["prefill_flops"] == 2 * length * matrices + attention + 2 * 4096 * 32064
        assert side["prefill_seconds"] == pytest.approx(
            max(side["prefill_flops"] / 989e12, 2 * (matrices + 4096 * 32064) / 4.8e12), rel=1e-4
        )
    encoder = 2 * 576 * 588 * 1024 + 24 * (2 * 577 * 12 * 1024**2 + 4 * 577 * 577 * 1024)
    projector = 1024 * 4096 + 4096**2
    assert whole["vision_flops"] == encoder + 2 * 576 * projector
    assert short["vision_flops"] == encoder + 2 * 64 * projector
    assert whole["select_seconds"] == 0 < short["select_seconds"]
    free = 0.9 * 141e9 - 2 * (matrices + 2 * 4096 * 32064 + 24 * 12 * 1024**2 + projector)
    assert whole["requests"] == pytest.approx(free / whole["cache_bytes"], abs=1.1)
    assert short["first_token_seconds"] == pytest.approx(
        short["vision_seconds"] + short["select_seconds"] + short["prefill_seconds"]
    )


def test_llava_around_dinov2(folder):
    """336 pixels, though the encoder's positions are those of 518: 577 patches of width 384, MLPs of 1536."""
    vision = {"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6, "image_size": 518}
    config = LLAVA | {"vision_config": vision, "image_seq_length": 576}
    whole = report(folder(config), "--keep", "64")["uncompressed"]
    encoder = 2 * 576 * 588 * 384 + 12 * (2 * 577 * 12 * 384**2 + 4 * 577 * 577 * 384)
    assert whole["tokens"] == 576
    assert whole["vision_flops"] == encoder + 2 * 576 * (384 * 4096 + 4096**2)


def test_internvl(folder):
    """A tile of 448 pixels has 32 x 32 patches, four to a token; 6 tiles and a thumbnail at 1344 x 896."""
    config = {"model_type": "internvl", "vision_config": {}, "text_config": SHALLOW["text_config"]}
    found = report(folder(config), "--keep", "32")
    assert (found["uncompressed"]["tokens"], found["compressed"]["tokens"]) == (256, 32)
    layers = 2 * 1024 * 588 * 1024 + 24 * (2 * 1025 * 12 * 1024**2 + 4 * 1025 * 1025 * 1024)
    projector = 4 * 1024 * 4096 + 4096**2
    assert found["uncompressed"]["vision_flops"] == layers + 2 * 256 * projector
    large = report(folder(config), "--keep", "32", "--size", "1344x896")
    assert (large["uncompressed"]["tokens"], large["compressed"]["tokens"]) == (7 * 256, 7 * 32)


def test_gemma_3(folder):
    """64 x 64 patches, 16 of them averaged to a token; one matrix projects those."""
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 896}
    vision |= {"patch_size": 14, "num_attention_heads": 16, "model_type": "siglip_vision_model"}
    vision |= {"vision_use_head": False}
    config = {"model_type": "gemma3", "vision_config": vision, "mm_tokens_per_image": 256}
    found = report(folder(config), "--keep", "64")
    whole, short = found["uncompressed"], found["compressed"]
    assert (whole["tokens"], short["tokens"]) == (256, 64)
    width = Gemma3Config(**config).text_config.hidden_size
    matrices = 4096 * 2 * (4 * 1152**2 + 2 * 1152 * 4304)
    layers = 2 * 4096 * 588 * 1152 + 27 * (matrices + 4 * 4096**2 * 1152)
    assert whole["vision_flops"] == layers + 2 * 256 * 1152 * width
    assert short["vision_flops"] == whole["vision_flops"]  # chosen behind the projector


def test_two_stages_hold_the_average(folder):
    """96 tokens in 2 layers and 32 in 2 are 64 in 4, in the cache as well."""
    one = report(folder(SHALLOW), "--keep", "64")["compressed"]
    two = report(folder(SHALLOW), "--keep", "96", "--stage2", "2:32")["compressed"]
    assert (two["tokens"], two["tokens_late"]) == (96, 32)
    assert two["cache_bytes"] == one["cache_bytes"]


def test_qwen_7b(folder):
    """A picture of 224 pixels has (224 / 28)^2 tokens; 4 heads of 128 make 57,344 cache bytes a token."""
    found = report(folder(QWEN), "--keep", "0.2", "--size", "224x224", "--words", "30", "--answer", "10")
    whole, short = found["uncompressed"], found["compressed"]
    assert (whole["tokens"], short["tokens"]) == (64, 13)
    assert whole["cache_bytes"] == 57_344 * (64 + 30 + 10)
    matrices = 28 * (2 * 3584 * 128 * 32 + 3 * 3584 * 18944)
    assert short["prefill_flops"] == 2 * 43 * matrices + 28 * 2 * 43 * 43 * 3584 + 2 * 3584 * 152_064
    patches, windows, merged = 4 * 64, 64, 4 * 1280
    layer = 2 * patches * (4 * 1280**2 + 3 * 1280 * 3420)
    attention = 4 * patches * 1280 * (4 * patches + 28 * windows)
    embedding = 2 * patches * 1176 * 1280
    assert whole["vision_flops"] == embedding + 32 * layer + attention + 2 * 64 * (merged**2 + merged * 3584)


@pytest.mark.parametrize("name", KNOWN)
def test_models_by_name(name):
    """Without a connection; LLaVA-NeXT has 5 tiles and 48 newlines, Video-LLaVA 8 frames of 257."""
    found = report(name, "--keep", "0.111")
    tokens = {"llava-1.5-7b": 576, "llava-next-7b": 2928, "video-llava-7b": 2056}.get(name, 1296)
    assert found["uncompressed"]["tokens"] == tokens
    assert tokens / 9.1 < found["compressed"]["tokens"] < tokens / 7.9  # newlines stay


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_has_its_figures_and_their_source(name):
    found = report("--device", name.replace("-", " ").upper())
    assert found["device"]["source"]
    for side in ("uncompressed", "compressed"):
        one = found[side]
        whole = one["first_token_seconds"] + 127 * one["decode_seconds"]
        assert one["answer_seconds"] == pytest.approx(whole)


def test_an_answer_of_one_token_is_the_first():
    assert report("--answer", "1")["compressed"]["answer_seconds"] == pytest.approx(
        report()["compressed"]["first_token_seconds"]
    )


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("llava-hf/llava-1.5-7b-hf", "without a connection llava-1.5-7b"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "without a connection qwen2.5-vl-7b"),
        ("nobody/nothing", "without a connection one of llava-1.5-7b, llava-next-7b"),
    ],
)
def test_a_name_for_those_without_a_connection(model, told, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    error = run(model).exception
    assert isinstance(error, ApETError)
    assert told in str(error)


def test_prompts_beyond_the_context_are_refused(folder):
    error = run(folder(SHALLOW), "--images", "7").exception
    assert isinstance(error, ApETError)
    assert "a prompt of 4,096 tokens and 128 for the answer; expected at most 4,096 together" in str(error)
    assert run(folder(SHALLOW), "--images", "6").exit_code == 0


def test_this_machine_is_measured(folder):
    found = report(folder(SHALLOW), "--device", "here")
    assert "measured" in found["device"]["source"]
    assert 1e9 < found["device"]["flops"] < 1e16
    assert found["uncompressed"]["prefill_seconds"] > found["compressed"]["prefill_seconds"] > 0


def test_batches_and_images_add_up(folder):
    one = report(folder(SHALLOW), "--answer", "1")["compressed"]
    many = report(folder(SHALLOW), "--answer", "1", "--batch", "8", "--images", "2")["compressed"]
    assert many["tokens"] == 2 * one["tokens"]
    assert many["vision_flops"] == 16 * one["vision_flops"]
    assert many["cache_bytes"] == 65_536 * (128 + 64 + 1)


def test_the_embedded_model_and_text_output():
    result = run("--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "576" in result.stdout
    assert "Xeon" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "tpu"), "'tpu'"),
        (("--keep", "577"), "577"),
        (("--stage2", "40:32"), "40:32"),
        (("--size", "1008"), "'1008'"),
    ],
)
def test_bad_options_are_one_error(folder, arguments, words):
    error = run(folder(SHALLOW), *arguments).exception
    assert isinstance(error, ApETError)
    assert words in str(error)


@pytest.mark.parametrize(("chosen", "tokens"), [(True, 7 * 256), (False, 256)])
def test_pictures_are_prepared_as_the_model_says(folder, chosen, tokens):
    config = {"model_type": "internvl", "vision_config": {}, "text_config": SHALLOW["text_config"]}
    name = folder(config)
    settings = {"image_processor_type": "GotOcr2ImageProcessor", "size": {"height": 448, "width": 448}}
    Path(name, "preprocessor_config.json").write_text(
        json.dumps(settings | {"max_patches": 6 if chosen else 1})
    )
    found = report(name, "--keep", "32", "--size", "1344x896")
    assert found["uncompressed"]["tokens"] == tokens
    assert "as the model's image processor prepares them" in found["pictures"]


def test_configurations_that_are_no_model(folder):
    """32 pixels a patch are 7 x 7 patches, of which four do not make a token."""
    error = run(folder({"model_type": "idefics3"})).exception
    assert isinstance(error, ApETError)
    assert "'idefics3' whose own code refuses a picture" in str(error)


def test_experts_are_counted_as_far_as_they_are_used(folder):
    """Qwen3-VL MoE: 8 of 128 experts work on a token, and all of them are in memory."""
    from transformers import Qwen3VLMoeConfig

    text = Qwen3VLMoeConfig().text_config
    found = report(folder({"model_type": "qwen3_vl_moe"}), "--words", "100", "--answer", "1")["compressed"]
    expert = 3 * text.hidden_size * text.moe_intermediate_size
    heads = text.num_attention_heads + text.num_key_value_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    layer = 2 * text.hidden_size * heads * head + text.hidden_size * text.num_experts
    layer += text.num_experts_per_tok * expert
    length = 164
    pairs = 2 * length**2 * text.num_attention_heads * head
    head_flops = 2 * text.hidden_size * text.vocab_size
    assert found["prefill_flops"] == text.num_hidden_layers * (2 * length * layer + pairs) + head_flops
