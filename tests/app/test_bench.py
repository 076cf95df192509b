"""``apet bench``: no speed without a right result."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import shapes
from tests.hf.tiny import prompts, tiny_llava
from typer.testing import CliRunner

from apet.app.bench import generate, ops
from apet.app.bench.plots import draw_first_tokens, draw_ops
from apet.app.bench.print import machine_in_words, print_generate
from apet.app.bench.steps import STEPS, naive, plain
from apet.app.bench.timing import interleaved, median_and_range
from apet.app.bench.variants import variants
from apet.app.known import KNOWN, build, inputs, tiny
from apet.app.main import app
from apet.core import compress
from apet.core.errors import ApETError
from apet.installing import install
from apet.methods import ApET, Stage2


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=True)


def test_ops_prints_and_saves_what_it_timed(tmp_path):
    out, plot = tmp_path / "ops.json", tmp_path / "ops.png"
    arguments = ("--repeats", "1", "--json", str(out), "--plot", str(plot))
    result = run("ops", "--sizes", "60x16x9,2x30x8x3", *arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert [(row["B"], row["N"]) for row in report["rows"]] == [(1, 60), (2, 30)]
    assert report["rows"][0]["compress"]["runs"] == 5 * report["rows"][0]["naive"]["runs"] == 5
    assert result.stdout.count(" x compress") == 4  # plain and naive, two sizes
    assert "steps    read" in result.stdout
    assert all(row[step]["min"] > 0 for row in report["rows"] for step in STEPS)
    assert set(report["machine"]) == {
        "cpu", "cores", "threads", "load_before", "torch", "python", "date", "dtype", "copy_gb_per_s",
        "keeps_freed_memory",
    }  # fmt: skip
    assert plot.stat().st_size > 1000


def test_ops_draws_sizes_without_times(tmp_path):
    draw_ops({"rows": [{"refused": "no memory"}]}, tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


def test_the_plain_lines_choose_as_the_core_does():
    x = torch.randn(80, 24, generator=torch.Generator().manual_seed(0))
    for version in (plain, naive):
        kept, merged = version(x, 17)
        result = compress(x, 17)
        assert torch.equal(kept, result.indices)
        torch.testing.assert_close(merged, result.tokens)


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
    options = {"keep": 8, "two": ApET(12, stage2=Stage2(2, 4)), "repeats": 2, "new_tokens": 3} | changes
    ways = variants(options["keep"], options.pop("two"))
    return generate.bench_generate(tiny_llava(), prompts([("i", 5), ("i", 5)]), ways=ways, **options)


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
    draw_first_tokens(report, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000


def test_generate_tells_how_far_it_is():
    told = []
    report = _bench(two=None, tell=lambda *now: told.append(now))
    done, totals, names = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1]
    timed = [row["name"] for row in report["rows"] if "first_token" in row]
    assert list(names[len(report["rows"]) :]) == [*timed, *timed, ""]


def test_generate_gives_no_times_for_another_length(monkeypatch):
    real = generate._run

    def longer(*arguments):
        taken = real(*arguments)
        return {**taken, "lengths": [n + 1 for n in taken["lengths"]]}

    monkeypatch.setattr(generate, "_run", longer)
    report = _bench(two=None, repeats=1)
    assert not any("first_token" in row for row in report["rows"])
    assert all("KV cache" in row["refused"] for row in report["rows"] if row["name"] != "oracle")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--keep", "577"), "bench generate --keep: got keep=577 for 576 visual tokens"),
        (
            ("--stage2", "4:577"),
            "bench generate --stage2: got stage2.keep=577 for ApET; expected at most keep=96",
        ),
        (("--stage2", "99:8"), "bench generate --stage2: got layer 99 of 8; expected a layer below 8"),
        (("--json", "-"), "bench generate --json: got -, where the table goes"),
    ],
)
def test_generate_refuses_before_it_runs(arguments, line, monkeypatch):
    monkeypatch.setattr(generate, "bench_generate", None)
    result = run("generate", *arguments)
    assert isinstance(result.exception, ApETError), result.output
    assert str(result.exception).startswith(line)
    assert result.output == ""


def test_a_large_budget_is_kept_on_average(monkeypatch):
    given = {}
    monkeypatch.setattr(generate, "bench_generate", lambda *_, **more: given.update(more) or 1 / 0)
    run("generate", "--keep", "500")
    (two,) = (way.method() for way in given["ways"] if way.name == "apet, two stages")
    assert two == ApET(576, stage2=Stage2(4, 424))


def test_the_machine_is_told_in_words():
    about = {"cpu": "x", "threads": 1, "copy_gb_per_s": 3.686100718028811, "keeps_freed_memory": True}
    assert machine_in_words(about) == "cpu: x, threads: 1, copy, GB/s: 3.69, keeps freed memory: yes"


def test_a_method_that_does_not_fit_is_a_row_without_times():
    report = _bench(keep=40)
    rows = {row["name"]: row for row in report["rows"]}
    assert "40" in rows["apet"]["refused"]


def test_plots_without_matplotlib_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ApETError, match=re.escape(install("plot"))):
        draw_first_tokens({"rows": []}, Path(tmp_path / "bars.png"))


@pytest.mark.parametrize("name", KNOWN)
def test_known_models_run_from_picture_to_answer(name):
    """With four small layers each."""
    model = build(tiny(KNOWN[name]), "cpu", torch.float32)
    ways = variants(8, ApET(12, stage2=Stage2(2, 4)))
    report = generate.bench_generate(
        model, inputs(model, 2, 6, 6), keep=8, ways=ways, repeats=1, new_tokens=2
    )
    rows = {row["name"]: row for row in report["rows"]}
    times = {"first_token", "vision", "selection", "prefill", "decode", "cache_bytes", "images_per_second"}
    for row in ("uncompressed", "apet", "apet, two stages", "oracle", "random", "divprune", "fastv"):
        assert times <= set(rows[row]), rows[row]
    # What ApET leaves is what the oracle is given: 8 of each part, and LLaVA-NeXT's newlines.
    parts, newlines = {"llava-next-7b": (5, 12), "video-llava-7b": (8, 0)}.get(name, (1, 0))
    assert report["kept_tokens"] == 8 * parts + newlines
    assert rows["apet"]["cache_bytes"] == rows["oracle"]["cache_bytes"]
    assert ("refused" in rows["visionzip"], "left_out" in rows["visionzip"]) == (
        False,
        name != "llava-1.5-7b",
    )


def test_shapes_needs_known_names(capsys):
    with pytest.raises(SystemExit):
        shapes.main(["--only", "gpt"])
    assert "quarter, half, eye" in capsys.readouterr().err


def test_shapes_leaves_out_an_eye_that_is_not_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shapes, "is_fetched", lambda: False)
    out = tmp_path / "shapes.json"
    assert shapes.main(["--only", "eye", "--output", str(out)]) == 0
    assert "left out" in capsys.readouterr().out
    assert not out.exists()


def test_a_row_that_breaks_leaves_the_others(monkeypatch):
    real = generate._run

    def broken(task, variant):
        if variant.name == "random":
            raise RuntimeError("out of memory\nand more")
        return real(task, variant)

    monkeypatch.setattr(generate, "_run", broken)
    rows = {row["name"]: row for row in _bench(repeats=1)["rows"]}
    assert rows["random"]["refused"] == "RuntimeError: out of memory"
    assert "first_token" in rows["grid"]


def test_host_has_a_row_for_every_figure(tmp_path):
    out = tmp_path / "host.json"
    result = run("host", "--repeats", "1", "--new-tokens", "3", "--json", str(out))
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert set(report["rows"]) == {
        "import",
        "help",
        *(f"{step}, {stages}" for step in ("prefill", "decode") for stages in ("one stage", "two stages")),
    }
    assert 0 < report["rows"]["import"]["median"] < 30_000
    assert report["plain"]["prefill"] > 0 < report["plain"]["decode"]
    assert result.stdout.count("limit") == 6


def test_runs_take_turns():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = interleaved(runs, torch.device("cpu"), {"a": 4, "b": 2}, cold=("b",))
    # Each time of a is taken behind a run of a that is not timed.
    assert order == ["a", "a", "a", "a", "b", "a", "a", "a", "a", "b"]
    assert (found["a"]["runs"], found["b"]["runs"]) == (4, 2)
    assert median_and_range([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": 3}
