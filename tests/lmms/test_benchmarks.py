"""``apet reproduce`` and ``apet eval`` on the real lmms-eval: a few questions in every benchmark's format."""

import json
import sys
from pathlib import Path

import pytest
from benchmark_data import write_benchmarks
from by_hand import figure
from offline import run
from tables import TABLE

import apet.embedded
from apet.app.lmms.benchmarks import BENCHMARKS, Measure
from apet.app.lmms.check import look_up
from apet.app.lmms.runs import LmmsRun
from apet.core import ApETError
from apet.evaluation import plan

REPRODUCE = [sys.executable, str(Path(__file__).with_name("tables.py")), "reproduce", TABLE]
REPRODUCE += ["--model", str(apet.embedded.PATH), "--keep", "64", "--output", "out"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def asked(folder):
    return write_benchmarks(folder)


@pytest.fixture(scope="module")
def first(folder, asked):
    """All nine benchmarks, uncompressed and at 64 tokens."""
    return run(REPRODUCE, folder)


def _answers(folder, command):
    """Answers by task, in the order of the questions."""
    found = {}
    for line in (folder / command.split("--output_path ")[1] / "answers.jsonl").read_text().splitlines():
        read = json.loads(line)
        found.setdefault(read["task"], {})[read["number"]] = read["answer"]
    return {task: [answer for _, answer in sorted(given.items())] for task, given in found.items()}


def test_every_figure_is_what_the_answers_give(folder, asked, first):
    written = json.loads((folder / "out" / "results.json").read_text())
    assert written["failed"] == {}
    assert written["not_run"] is None
    found = written["measured_by_benchmark"]
    for number, command in enumerate(written["runs"]):
        budget, name = ("full", "64")[number // 9], written["benchmarks"][number % 9]
        counted = figure(name, asked, _answers(folder, command))
        assert found[budget][name] == pytest.approx(counted), (budget, name)
    assert set(found["full"]) == set(BENCHMARKS)
    # The model was trained for such questions, if not in these words: the figures are no row of zeros.
    assert found["full"]["pope"] == 100
    assert all(0 < found["full"][name] < 100 for name in ("gqa", "vqav2", "vizwiz", "mmbench", "mmbench_cn"))
    assert found["full"]["mme"] > 300


def test_what_is_printed(first):
    assert "Cost: 148 answers in 18 runs" in first.stdout
    line = next(line for line in first.stdout.splitlines() if line.startswith("MME, published"))
    assert line.split()[-4:] == ["1862.0", "1808.0", "1801.0", "1714.0"]
    line = next(line for line in first.stdout.splitlines() if line.startswith("MME, here"))
    assert "not run" in line
    assert first.stderr.count("apet reproduce:") == 18


def test_what_cannot_be_read_loses_nothing_and_what_is_missing_is_asked_again(folder, asked, first):
    before = json.loads((folder / "out" / "results.json").read_text())
    broken = _run_of(folder, "pope_adv", "method=full")
    (results,) = broken.rglob("*_results.json")
    results.write_text(results.read_text().replace("pope_f1_score", "pope_f2_score"))
    cut = _run_of(folder, "--tasks gqa", "keep=64")
    (results,) = cut.rglob("*_results.json")
    results.unlink()
    lines = (cut / "answers.jsonl").read_text().splitlines(keepends=True)
    (cut / "answers.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])  # killed while it wrote
    done = run([*REPRODUCE, "--json"], folder, code=2)
    assert "1 run of 18 without a figure, the first POPE at full" in done.stderr
    assert "pope_adv has no pope_f1_score but pope_accuracy" in done.stderr
    after = json.loads(done.stdout)
    assert len(list(cut.rglob("*_results.json"))) == 1
    assert set(after["failed"]) == {"pope at full"}
    del before["measured_by_benchmark"]["full"]["pope"]
    assert after["measured_by_benchmark"] == before["measured_by_benchmark"]
    assert after["measured"] == {"apet": {}}  # a mean over eight is not the table's
    assert (cut / "answers.jsonl").read_text().splitlines(keepends=True) == lines


def _run_of(folder, *texts):
    written = json.loads((folder / "out" / "results.json").read_text())
    (command,) = (command for command in written["runs"] if all(text in command for text in texts))
    return folder / command.split("--output_path ")[1]


def test_groups_are_their_tasks_and_what_has_no_number_is_told_first(folder, asked):
    command = [
        sys.executable,
        "-m",
        "apet.app.main",
        "eval",
        "--tasks",
        "vqav2,pope_pop",
        "--methods",
        "apet",
    ]
    command += ["--keep", "64", "--stage2", "off", "--output", "eval", "--limit", "4", "--json"]
    done = run(command, folder)
    read = json.loads(done.stdout)
    assert read["not_run"] == ["vqav2_test: no metric: it writes a file for a server"]
    rows = {(row["method"], row["task"]): row for row in read["rows"]}
    assert set(rows) == {(m, t) for m in ("full", "apet") for t in ("all", "vqav2_val", "pope_pop")}
    assert {row["metric"] for row in rows.values()} == {None, "exact_match", "pope_f1_score"}
    assert all(row["n"] == (8 if task == "all" else 4) for (_, task), row in rows.items())
    assert rows["full", "vqav2_val"]["accuracy"] > 0


@pytest.fixture
def offline(folder, asked, monkeypatch):
    monkeypatch.chdir(folder)
    for name, value in (
        ("HF_HUB_OFFLINE", "1"),
        ("HF_DATASETS_OFFLINE", "1"),
        ("HF_HOME", str(folder / "home")),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_what_cannot_be_run_is_known_before(offline):
    names = ["chess", "nocaps_val", "mmbench_en", "mme", "mmmu_val"]
    measures = [*(Measure(name, ()) for name in names), Measure("pope_adv", ("accuracy",))]
    found = {line.task: line.problem for line in look_up(measures, 1)}
    assert found["chess"] == "lmms-eval has no such task"
    assert "several metrics; name one as nocaps_val:METRIC, of " in found["nocaps_val"]
    assert "asks a paid judge" in found["mmbench_en_dev"]
    assert "no metric" in found["mmbench_en_test"]
    assert found["mme"].startswith("1 questions cannot be scored")  # half a pair
    assert found["mmmu_val"].startswith("no data (")
    assert "no metric accuracy; it has pope_accuracy" in found["pope_adv"]


def test_a_run_that_fails_says_of_what(offline):
    (full,) = plan(["full"], [64], ["off"], 1, 8)[0]
    measure = Measure("gqa", ("exact_match",))
    with pytest.raises(ApETError, match=r"a failed `lmms-eval --model apet .*nowhere \(no such folder\)"):
        LmmsRun("./nowhere", full, (measure,), None, Path("failing")).run()
    assert "Traceback" in next(Path("failing").rglob("log.txt")).read_text()
