"""``apet ask`` and ``apet models``, run in process; one run as a real process for what only that shows."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from apet import embedded
from apet.app.answering import generate_answer, prompt_of, question_inputs
from apet.app.ask import _print_text
from apet.app.main import app
from apet.core.errors import ApETError
from apet.scenes import Scene, Shape, Text, draw

SCENE = Scene(
    seed=3,
    light=False,
    shapes=(
        Shape("star", "red", 60.0, 70.0, 26.0, 0.0),
        Shape("circle", "blue", 270.0, 60.0, 24.0, 0.0),
        Shape("moon", "yellow", 250.0, 270.0, 18.0, 0.0),
        Shape("square", "green", 70.0, 280.0, 30.0, 0.1),
    ),
    texts=(Text("RADIO", "white", 110, 160, 32, plate=False),),
)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(draw(SCENE)).save(path)
    return str(path)


def _run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def _report(*arguments):
    result = _run("ask", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_says_what_was_asked_for(picture):
    report = _report(picture, "What does the text say?", "--keep", "64")
    assert report["answer"] == "RADIO"
    assert (report["visual_tokens"], report["kept_tokens"]) == (576, 64)
    assert 0 < report["select_seconds"] < report["first_token_seconds"] <= report["seconds"]
    assert "uncompressed" not in report


def test_a_tolerance_keeps_what_the_picture_needs(picture):
    kept = [
        _report(picture, "What does the text say?", "--tolerance", share)["kept_tokens"]
        for share in ("0.3", "0.02")
    ]
    assert 10 <= kept[0] < kept[1] < 576


def test_compare_runs_both(picture, tmp_path):
    out = tmp_path / "out.png"
    arguments = ("--compare", "--repeats", "1", "--keep", "0.2", "--stage2", "4:32", "--picture", str(out))
    report = _report(picture, "what shape is the blue object?", *arguments)
    assert report["answer"] == report["uncompressed"]["answer"] == "circle"
    assert (report["kept_tokens"], report["uncompressed"]["kept_tokens"]) == (115, 576)
    assert report["stage2"] == {"layer": 4, "kept_tokens": 32}
    assert report["picture"] == str(out)
    assert Image.open(out).width > 1000


@pytest.mark.parametrize(
    ("method", "kept", "later"),
    [
        ("greedy", 64, None),
        ("greedy:rounds=4", 64, None),
        ("pool", 64, None),
        ("downsample", 64, None),
        ("none", 0, None),
        ("visionzip", 64, None),
        ("fastv", 576, 64),
    ],
)
def test_other_methods(picture, method, kept, later):
    arguments = ("--method", method, "--compare", "--repeats", "1")
    report = _report(picture, "what shape is the blue object?", *arguments)
    assert (report["method"], report["visual_tokens"], report["kept_tokens"]) == (method, 576, kept)
    assert report.get("stage2", {}).get("kept_tokens") == later
    assert report["uncompressed"]["answer"] == "circle"
    assert report["uncompressed"]["kept_tokens"] == 576


def test_the_method_is_named(picture):
    result = _run("ask", picture, "what colour is the moon?", "--method", "grid:merge=no")
    assert result.exit_code == 0
    answer, notes = result.stdout.splitlines()
    assert answer == "yellow"
    assert notes.startswith("grid:merge=no: 64 of 576 visual tokens, first token ")


def test_a_tolerance_among_the_fields_is_one(picture):
    fields, option = (
        _report(picture, "what?", *arguments)["kept_tokens"]
        for arguments in (("--method", "apet:tolerance=0.3"), ("--tolerance", "0.3"))
    )
    assert 10 <= fields == option < 576


def test_words_come_one_after_the_other(picture):
    model, processor = embedded.load()
    inputs = question_inputs(model, processor, Image.open(picture), "what?")
    words = "what is the red star the blue circle"
    ids = processor.tokenizer(words, add_special_tokens=False)["input_ids"]
    told = []

    def generate(streamer, **_):
        streamer.put(inputs["input_ids"])
        for token in (*ids, model.generation_config.eos_token_id):
            streamer.put(torch.tensor([token]))
            told.append("")
        streamer.end()
        return torch.cat((inputs["input_ids"], torch.tensor([ids])), dim=1)

    model.generate = generate
    answer = generate_answer(model, processor, inputs, 9, tell=told.append)
    assert answer.first_token_seconds > 0
    pieces = [text for text in told if text]
    assert "".join(pieces).strip() == answer.text == words
    assert len(pieces) >= words.count(" ")


def test_a_system_prompt_reaches_the_model(picture):
    model, processor = embedded.load()
    plain, told = (
        question_inputs(model, processor, Image.open(picture), "what?", system=system)
        for system in (None, "a red star")
    )
    more = told["input_ids"].shape[1] - plain["input_ids"].shape[1]
    assert more >= 3
    assert "a red star" in processor.decode(told["input_ids"][0])
    assert _report(picture, "what colour is the moon?", "--system", "yes")["answer"]
    for system, words in (("see <image>", "image token"),):
        error = _run("ask", picture, "what?", "--system", system).exception
        assert isinstance(error, ApETError)
        assert words in str(error)


def test_a_template_that_drops_the_system_prompt_is_told(picture):
    _, processor = embedded.load()
    template = "{% for m in messages if m.role == 'user' %}<image>what?{% endfor %}"
    refusing = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    )
    for processor.chat_template in (template, refusing):
        with pytest.raises(ApETError, match="takes no system prompt"):
            prompt_of(processor, "what?", system="be brief")
    del processor.chat_template
    assert prompt_of(processor, "what?", system="be brief").startswith("be brief USER: <image>")


def test_a_prompt_beyond_the_context_is_refused(picture, caplog):
    error = _run("ask", picture, "x " * 4000).exception
    assert isinstance(error, ApETError)
    assert "at most 4,096 together" in str(error)
    assert "longer than" not in caplog.text
    error = _run("ask", picture, "what?", "--max-new-tokens", "4000").exception
    assert "4,000 for the answer" in str(error)


def test_text_output_shows_both_answers(picture):
    result = _run("ask", picture, "what colour is the moon?", "--compare", "--repeats", "1")
    assert result.exit_code == 0
    assert result.stdout.count("yellow") == 2
    assert "64 of 576" in result.stdout


def test_a_model_folder_is_used(picture):
    report = _report(picture, "is there a red star?", "--model", str(embedded.PATH))
    assert (report["answer"], report["model"]) == ("yes", str(embedded.PATH))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--keep", "0"), "keep=0"),
        (("--keep", "-3"), "keep=-3"),
        (("--keep", "1.5"), "1.5"),
        (("--keep", "nan"), "nan"),
        (("--keep", "many"), "'many'"),
        (("--keep", "577"), "577"),
        (("--tolerance", "1.5"), "tolerance=1.5"),
        (("--tolerance", "some"), "'some'"),
        (("--tolerance", "0.1", "--keep", "64"), "keep=64 and tolerance=0.1"),
        (("--stage2", "4"), "LAYER:KEEP"),
        (("--stage2", "\u00b2:3"), "LAYER:KEEP"),
        (("--stage2", "99:32"), "99"),
        (("--stage2", "4:0.5"), "288 of 576"),
        (("--picture", "out.psd"), "ending '.psd'"),
        (("--stage2", "4:65"), "65"),
        (("--model", "./no/such/folder"), "no such folder"),
        (("--method", "best"), "'best'; expected one of apet, spread, greedy"),
        (
            ("--method", "fastv", "--stage2", "4:32"),
            "ask --stage2: got stage2=Stage2(layer=4, keep=32) for FastV; expected",
        ),
        (("--method", "none", "--picture", "out.png"), "--method none"),
        (("--method", "norm", "--keep", "577"), "577"),
    ],
)
def test_bad_options_are_one_error(picture, arguments, words):
    result = _run("ask", picture, "what?", *arguments)
    assert isinstance(result.exception, ApETError), result.output
    assert words in str(result.exception)
    assert result.stdout == ""


def test_questions_that_cannot_be_asked(picture):
    for question, words in (("  ", "empty"), ("what is <image>?", "image token")):
        error = _run("ask", picture, question).exception
        assert isinstance(error, ApETError)
        assert words in str(error)


def test_an_unsupported_model_type_lists_the_supported(picture, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    error = _run("ask", picture, "what?", "--model", str(tmp_path)).exception
    assert isinstance(error, ApETError)
    assert "'gpt2'" in str(error)
    assert "llava" in str(error)


def test_pickled_weights_are_refused(picture, tmp_path):
    for source in embedded.PATH.iterdir():
        if source.name != "model.safetensors":
            (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    error = _run("ask", picture, "what?", "--model", str(tmp_path)).exception
    assert isinstance(error, ApETError)
    assert "safetensors" in str(error)


@pytest.mark.parametrize("damage", ["truncated", "other shapes"])
def test_damaged_weights_are_one_error(picture, tmp_path, damage):
    for source in embedded.PATH.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    if damage == "truncated":
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100_000])
    else:
        config = tmp_path / "config.json"
        config.write_text(config.read_text().replace('"intermediate_size": 640', '"intermediate_size": 320'))
    assert isinstance(_run("ask", picture, "what?", "--model", str(tmp_path)).exception, ApETError)


def test_answers_are_no_markup(capsys):
    report = {
        "method": "apet",
        "answer": "a [list] [/b]",
        "kept_tokens": 1,
        "visual_tokens": 2,
        "select_seconds": 0.0,
    }
    _print_text(report | {"seconds": 1.0, "first_token_seconds": 1.0}, Console())
    assert "a [list] [/b]" in capsys.readouterr().out


def test_models_lists_the_types():
    result = _run("models")
    assert result.exit_code == 0
    assert "llava" in result.stdout


def test_a_process_ends_with_one_line_and_code_2(tmp_path):
    command = [sys.executable, "-m", "apet.app.main", "ask", str(tmp_path / "no.png"), "what?"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no such file" in done.stderr


def test_an_unknown_model_id_without_a_network(picture):
    command = [
        sys.executable,
        "-m",
        "apet.app.main",
        "ask",
        picture,
        "what?",
        "--model",
        "nobody/no-such-model",
    ]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=offline)
    assert done.returncode == 2
    assert "nobody/no-such-model" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_imports_nothing_heavy():
    """By the command's own entry point, which a user waits for: torch alone takes seconds."""
    code = (
        "import sys, apet.app.main\n"
        "sys.argv = ['apet', '--help']\n"
        "try:\n    apet.app.main.run()\n"
        "finally:\n    heavy = ('torch', 'transformers', 'numpy', 'PIL', 'matplotlib')\n"
        "    print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert "reproduce" in done.stdout
    assert done.stdout.strip().endswith("[]")
