"""The real lmms-eval on a local task, and the same questions through ``apet eval``: the same accuracy."""

import json
import sys

import pytest
from offline import run
from scene_task import write_task

TASKS, LIMIT = ["exist", "shape", "read"], 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lmms")
    task = folder / "task"
    task.mkdir()
    write_task(task, TASKS, LIMIT)
    return folder


@pytest.fixture(scope="module")
def counted(folder):
    command = [sys.executable, "-m", "apet.app.main", "eval", "--methods", "apet", "--keep", "32"]
    command += ["--tasks", ",".join(TASKS), "--limit", str(LIMIT), "--output", str(folder / "own"), "--json"]
    rows = json.loads(run(command, folder).stdout)["rows"]
    return {(r["method"], r["stage2"]): r["accuracy"] for r in rows if r["task"] == "all"}


@pytest.mark.parametrize(
    ("arguments", "configuration"),
    [
        ("pretrained=embedded,keep=32,stage2=paper", ("apet", "paper")),
        ("pretrained=embedded,method=full", ("full", "off")),
    ],
)
def test_lmms_eval_counts_as_apet_eval_does(folder, counted, arguments, configuration):
    out = folder / "out" / configuration[0]
    command = [sys.executable, "-m", "lmms_eval", "--model", "apet", "--model_args", arguments]
    command += ["--tasks", "apet_scenes", "--include_path", str(folder / "task"), "--batch_size", "4"]
    run([*command, "--output_path", str(out)], folder)
    (written,) = out.rglob("*results.json")
    result = json.loads(written.read_text())["results"]["apet_scenes"]
    assert result["right,none"] == pytest.approx(counted[configuration])
    assert 0 < counted[configuration] <= 1
