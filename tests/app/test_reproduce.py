"""``apet reproduce``: exact runs, published figures, and honest words where nothing can be run."""

import json

import pytest
from typer.testing import CliRunner

from apet.app.forward import rows_of_runs
from apet.app.lmms_runs import Score, plan_runs
from apet.app.main import app
from apet.core.errors import ApETError
from apet.evaluation import plan


def _run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True, env={"HF_HUB_OFFLINE": "1"})


def test_the_runs_and_the_published_figures(tmp_path):
    done = _run("reproduce", "paper-table-llava-1.5", "--no-run", "--output", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    read = json.loads(done.stdout)
    assert read["published"]["apet"] == {"192": 98.0, "128": 97.1, "64": 95.2}
    assert read["measured"] == {"apet": {}}
    assert len(read["runs"]) == 4
    assert "pretrained=llava-hf/llava-1.5-7b-hf,method=full " in read["runs"][0]
    assert "method=apet,keep=64,stage2=paper --tasks gqa," in read["runs"][3]
    assert not any(tmp_path.iterdir())


def test_text_names_source_and_reason(tmp_path):
    done = _run("reproduce", "paper-table-qwen2.5-vl", "--model", "nobody/none", "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "arXiv 2602.19870" in done.stdout
    assert "93.3" in done.stdout
    assert "Not run: the model cannot be reached: nobody/none" in done.stdout


def test_an_unknown_table_is_an_error():
    done = _run("reproduce", "table-7")
    assert isinstance(done.exception, ApETError)
    assert "paper-table-llava-1.5" in str(done.exception)


def _written(run, values):
    folder = run.output / "model"
    folder.mkdir(parents=True)
    results = {task: {"alias": task, "score,none": value, "score_stderr,none": 0.1} for task, value in values}
    counts = {task: {"original": 9, "effective": 5} for task, _ in values}
    (folder / "1_results.json").write_text(json.dumps({"results": results, "n-samples": counts}))


def test_finished_runs_are_read_and_set_beside_the_full_model(tmp_path):
    configurations, _ = plan(["apet:merge=no"], [64], ["paper"], 1, 32)
    full, short = plan_runs("some/model", configurations, ["pope", "mme"], None, tmp_path)
    assert short.arguments[3] == "pretrained=some/model,method=apet,keep=64,stage2=paper,merge=False"
    assert full.scores() is None
    _written(full, [("pope", 0.8), ("mme", 1500.0)])
    _written(short, [("pope", 0.6), ("mme", 1200.0)])
    rows = rows_of_runs([(run.configuration, run.run()) for run in (full, short)])
    assert short.run()[1] == Score("mme", "score", 1200.0, 5)
    found = {(row["method"], row["task"]): row["retention"] for row in rows}
    assert found["full", "all"] == 100
    assert found["apet:merge=no", "pope"] == pytest.approx(75)
    assert found["apet:merge=no", "all"] == pytest.approx(77.5)


def test_a_limit_or_a_field_is_another_folder(tmp_path):
    configurations, _ = plan(["apet", "apet:merge=no"], [64], ["off"], 1, 32)
    outputs = {
        run.output for limit in (None, 8) for run in plan_runs(None, configurations, ["a"], limit, tmp_path)
    }
    assert len(outputs) == 6
