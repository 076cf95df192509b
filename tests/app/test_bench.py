"""``apet bench``: no speed without a right result."""

import json
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import gpu
from tests.hf.tiny import prompts, tiny_llava
from typer.testing import CliRunner

from apet.app.bench import generate, ops
from apet.app.bench.show import draw_bars, print_generate
from apet.app.bench.timing import interleaved, spread
from apet.app.main import app
from apet.core.errors import ApETError
from apet.methods import Stage2


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=True)


def test_ops_prints_and_saves_what_it_timed(tmp_path):
    out = tmp_path / "ops.json"
    result = run("ops", "--sizes", "60x16x9,2x30x8x3", "--repeats", "1", "--json", str(out))
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert [(row["B"], row["N"]) for row in report["rows"]] == [(1, 60), (2, 30)]
    assert report["rows"][0]["compress"]["runs"] == 5 * report["rows"][0]["naive"]["runs"] == 5
    assert "naive / compress" in result.stdout
    assert set(report["machine"]) == {
        "cpu", "cores", "threads", "load_before", "torch", "python", "date", "dtype", "copy_gb_per_s"
    }  # fmt: skip


def test_ops_gives_no_times_for_a_wrong_result(monkeypatch):
    right = ops.compress

    def wrong(x, keep, **options):
        return right(-x.roll(1, 0) if x.ndim == 2 else x, keep, **options)

    monkeypatch.setattr(ops, "compress", wrong)
    result = run("ops", "--sizes", "60x16x9", "--repeats", "1")
    assert result.exit_code == 1
    assert "kept tokens differ" in result.stdout
    assert " ms (" not in result.stdout


def test_ops_refuses_a_naive_merge_larger_than_memory(monkeypatch):
    monkeypatch.setattr(ops, "_free_bytes", lambda device: 1000)
    result = run("ops", "--sizes", "60x16x9", "--repeats", "1")
    assert result.exit_code == 1
    assert "GB are free" in result.stdout


@pytest.mark.parametrize(
    "arguments", [("--sizes", "3x4"), ("--sizes", "3x4x5"), ("--dtype", "int8"), ("--device", "tpu")]
)
def test_bad_options_are_one_error(arguments):
    assert isinstance(run("ops", *arguments).exception, ApETError)


def test_a_missing_folder_is_one_error():
    error = run("generate", "--json", "no/such/folder/out.json").exception
    assert isinstance(error, ApETError)
    assert "no such folder" in str(error)


def _bench(**changes):
    options = {"keep": 8, "stage2": Stage2(2, 4), "first": 12, "repeats": 2, "new_tokens": 3} | changes
    return generate.bench_generate(tiny_llava(), prompts([("i", 5), ("i", 5)]), **options)


def test_generate_has_a_row_for_every_way(tmp_path, capsys):
    report = _bench()
    rows = {row["name"]: row for row in report["rows"]}
    assert {"uncompressed", "apet", "apet, two stages", "oracle", "random"} <= set(rows)
    assert not any("refused" in rows[name] for name in ("uncompressed", "apet", "oracle", "random"))
    # Two rows of 5 words, a first token and 2 generated ones that were fed back, 4 layers of 2 heads of 16.
    entry = 2 * 2 * 16 * 4
    assert rows["uncompressed"]["cache_bytes"] == 2 * 4 * entry * (36 + 5 + 1 + 2)
    for name in ("apet", "apet, two stages", "oracle"):
        assert rows[name]["cache_bytes"] == 2 * 4 * entry * (8 + 5 + 1 + 2)
    for row in rows.values():
        if "refused" not in row:
            parts = sum(row[name]["min"] for name in ("vision", "selection", "prefill"))
            assert 0 < parts <= row["first_token"]["max"]
            assert row["first_token"]["max"] < row["total"]["max"]
    assert rows["oracle"]["selection"]["max"] == 0 < rows["apet"]["selection"]["min"]
    print_generate(report)
    assert "two stages" in capsys.readouterr().out
    draw_bars(report, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000


def test_generate_gives_no_times_for_another_length(monkeypatch):
    real = generate._run

    def longer(*arguments):
        taken = real(*arguments)
        return {**taken, "lengths": [n + 1 for n in taken["lengths"]]}

    monkeypatch.setattr(generate, "_run", longer)
    report = _bench(stage2=None, repeats=1)
    assert all("KV cache" in row["refused"] and "first_token" not in row for row in report["rows"])


def test_a_method_that_does_not_fit_is_a_row_without_times():
    report = _bench(keep=40)
    rows = {row["name"]: row for row in report["rows"]}
    assert "40" in rows["apet"]["refused"]


def test_plots_without_matplotlib_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ApETError, match="apet\\[plot\\]"):
        draw_bars({"rows": []}, Path(tmp_path / "bars.png"))


def test_the_gpu_benchmark_builds_models_and_inputs_that_run():
    """Its own families, with a layer or two of small width, on the CPU."""
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 200}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 256}
    clip = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip |= {"model_type": "clip_vision_model", "image_size": 84, "patch_size": 14}
    llava = {**gpu.LLAVA, "vision_config": clip, "text_config": {"model_type": "llama", **small}}
    llava |= {"image_token_index": 150, "vision_feature_layer": -1}
    tower = {"hidden_size": 32, "out_hidden_size": 64, "depth": 1, "num_heads": 2, "intermediate_size": 32}
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e4}
    qwen = {**gpu.QWEN, "vision_config": dict(tower), "text_config": {**small, "rope_parameters": rope}}
    qwen |= {"image_token_id": 150, "video_token_id": 151, "vision_start_token_id": 152}
    tower |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 144}
    qwen3 = {**gpu.QWEN3, "vision_config": tower, "text_config": {**small, "rope_parameters": rope}}
    qwen3 |= {"image_token_id": 150, "video_token_id": 151, "vision_start_token_id": 152}
    qwen3["text_config"] |= {"head_dim": 32}
    for config in (llava, qwen, qwen3):
        model = gpu.build(config, "cpu", torch.float32)
        given = gpu.inputs(model, 2, words=6, side=6)
        assert int((given["input_ids"] == 150).sum()) == 2 * 36
        options = {"keep": 8, "stage2": Stage2(1, 4), "first": 12, "repeats": 1, "new_tokens": 2}
        report = generate.bench_generate(model, given, **options)
        rows = {row["name"]: row for row in report["rows"]}
        for name in ("uncompressed", "apet", "apet, two stages", "oracle"):
            assert "refused" not in rows[name], rows[name]


def test_runs_take_turns():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = interleaved(runs, torch.device("cpu"), {"a": 4, "b": 2})
    assert order == ["a", "a", "b", "a", "a", "b"]
    assert (found["a"]["runs"], found["b"]["runs"]) == (4, 2)
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": 3}
