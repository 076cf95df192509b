"""``apet reproduce``: exact runs, published figures, and honest words where nothing can be run.

What runs give is tested in ``tests/lmms``, on lmms-eval itself.
"""

import json
import shlex

import pytest
from PIL import Image
from transformers import Qwen2VLImageProcessor
from typer.testing import CliRunner

from apet import ApET
from apet.app.eval_lmms import rows_of_runs
from apet.app.known import KNOWN, configuration_of
from apet.app.lmms.benchmarks import BENCHMARKS, METRICS, Measure
from apet.app.lmms.check import parse_task
from apet.app.lmms.prompts import Prompts
from apet.app.lmms.runs import LmmsRun, Score
from apet.app.main import app
from apet.app.reproduction.planned import Reproduction
from apet.core.errors import ApETError
from apet.evaluation import plan
from apet.evaluation.published import PUBLISHED


def _run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True, env={"HF_HUB_OFFLINE": "1"})


def _planned(name, folder, limit=None):
    table = PUBLISHED[name]
    layers = configuration_of(KNOWN[table.known]).get_text_config().num_hidden_layers
    return Reproduction.of(name, table, table.tasks, list(table.runs), limit, folder, layers)


def test_the_runs_and_the_published_figures(tmp_path):
    done = _run("reproduce", "paper-table-llava-1.5", "--no-run", "--output", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    read = json.loads(done.stdout)
    assert read["published"]["apet"] == {"192": 98.0, "128": 97.1, "64": 95.2}
    assert read["published_by_benchmark"]["full"]["mme"] == 1862
    assert "textvqa" not in read["published_by_benchmark"]["64"]  # sources differ, so none is given
    assert read["measured"] == {"apet": {}}
    assert len(read["benchmarks"]) == 9
    assert len(read["runs"]) == 36
    assert not any(tmp_path.iterdir())
    gqa = next(run for run in read["runs"] if "keep=64" in run and "--tasks gqa" in run)
    words = shlex.split(gqa)
    model = "pretrained=llava-hf/llava-1.5-7b-hf,method=apet,keep=64,stage2=paper,positions=contiguous,"
    assert words[4].startswith(f"{model}slots=overwrite,pad=True,conversation=vicuna_v1,answers=")
    assert words[words.index("--gen_kwargs") + 1] == "max_new_tokens=128"
    assert sum("max_new_tokens=1024" in run for run in read["runs"]) == 3 * 4  # multiple choice
    assert sum("--tasks pope_adv,pope_pop,pope_random" in run for run in read["runs"]) == 4
    assert not [run for run in read["runs"] if "_test" in run]


@pytest.mark.parametrize("budget", [192, 128, 64])
def test_the_runs_of_llava_are_the_authors(budget, tmp_path):
    built = _planned("paper-table-llava-1.5", tmp_path).runs[budget, "gqa"].configuration.built
    assert built == ApET.authors("llava-1.5", budget)


def test_the_run_of_qwen_is_the_authors(tmp_path):
    run = _planned("paper-table-qwen2.5-vl", tmp_path).runs[0.2, "gqa"]
    assert run.configuration.built == ApET.authors("qwen2.5-vl")
    assert "keep=0.3,stage2=off,slots=blend" in run.as_text()


def test_qwens_pictures_have_as_many_pixels_as_the_authors_give_them():
    class Processor:
        image_processor = Qwen2VLImageProcessor()

    Prompts(min_pixels=256 * 28 * 28, max_pixels=512 * 28 * 28).set_up(Processor)
    for size in ((56, 56), (4000, 3000)):
        grid = Processor.image_processor([Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"]
        assert 256 <= int(grid.prod()) // 4 <= 512


def test_one_benchmark_that_fails_takes_no_other_with_it(tmp_path, monkeypatch):
    def run(self):
        if self.measures[0].task == "mme":
            raise ApETError("lmms-eval", "a failed run", "one that finishes")
        return [Score(one.task, one.metric, 0.5, 3) for one in self.measures]

    monkeypatch.setattr(LmmsRun, "run", run)
    planned = _planned("paper-table-llava-1.5", tmp_path)
    for budget, benchmark in planned.runs:
        planned.read(budget, benchmark)
        planned.write(tmp_path)
    read = json.loads((tmp_path / "results.json").read_text())
    assert set(read["failed"]) == {f"mme at {budget}" for budget in ("full", 192, 128, 64)}
    assert read["measured_by_benchmark"]["64"]["pope"] == 50
    assert planned.retention(64) is None


def test_the_mean_retention_is_over_all_benchmarks(tmp_path):
    planned = _planned("paper-table-llava-1.5", tmp_path)
    for number, name in enumerate(planned.benchmarks):
        planned.values["full", name] = 80.0
        planned.values[64, name] = 40.0 + number
    assert planned.retention(64) == pytest.approx(100 * 44 / 80)
    del planned.values[64, "vizwiz"]
    assert planned.retention(64) is None


def test_text_names_source_reason_and_cost_and_is_not_cut(tmp_path):
    done = _run("reproduce", "paper-table-qwen2.5-vl", "--model", "nobody/none", "--output", str(tmp_path))
    assert isinstance(done.exception, ApETError)  # nothing could be run
    assert "arXiv 2602.19870" in done.stdout
    assert "93.3" in done.stdout
    assert "the model cannot be reached: nobody/none" in str(done.exception)
    assert (
        "Cost: about 60,596 answers in 10 runs, 42% of them of GQA. One at a time on NVIDIA H200"
        in done.stdout
    )
    (note,) = (line for line in done.stdout.splitlines() if line.startswith("The run is ApET.authors"))
    assert note.endswith("commented out in the authors' code.")  # on one line, in a pipe


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("table-7",), "paper-table-llava-1.5"),
        (("paper-table-llava-1.5", "--tasks", "gqa,chess"), "'chess'; expected one of gqa, mmbench"),
        (("paper-table-qwen2.5-vl", "--tasks", "vqav2"), "vqav2; expected one of scienceqa, mme"),
        (("paper-table-llava-1.5", "--keep", "65"), "65; expected one of 192, 128, 64"),
    ],
)
def test_what_a_table_has_not_is_an_error(arguments, words):
    done = _run("reproduce", *arguments, "--no-run")
    assert isinstance(done.exception, ApETError)
    assert words in str(done.exception)


def test_a_part_of_a_table(tmp_path):
    arguments = ("--no-run", "--tasks", "pope,mme", "--keep", "64", "--output", str(tmp_path))
    done = _run("reproduce", "paper-table-llava-1.5", *arguments)
    assert done.stdout.count("lmms-eval --model apet") == 4
    assert "apet, here (2 of 9 benchmarks)" in done.stdout


def test_figures_of_benchmarks():
    """MME is a sum, POPE a mean of three F1, MMBench in percent already."""
    assert METRICS["mme"] == ("mme_perception_score", "mme_cognition_score")
    assert BENCHMARKS["mme"].score([1810.5]) == 1810.5
    assert BENCHMARKS["pope"].score([0.8, 0.85, 0.9]) == pytest.approx(85)
    assert BENCHMARKS["mmbench"].score([64.7]) == 64.7
    assert all(task in METRICS for one in BENCHMARKS.values() for task in one.tasks)


def test_tasks_with_metrics():
    assert parse_task("gqa") == Measure("gqa", ())
    assert parse_task("mme:a+b") == Measure("mme", ("a", "b"))
    for wrong in ("gqa:", ":a", "mme:a+", ""):
        with pytest.raises(ApETError, match="eval --tasks: got"):
            parse_task(wrong)


def test_runs_are_set_beside_the_full_model():
    configurations, _ = plan(["apet:merge=no"], [64], ["paper"], 1, 32)
    values = ({"pope": 0.8, "mme": 1500.0}, {"pope": 0.6, "mme": 1200.0})
    counted = [
        (one, [Score(task, "score", value, 5) for task, value in scores.items()])
        for one, scores in zip(configurations, values, strict=True)
    ]
    found = {(row["method"], row["task"]): row["retention"] for row in rows_of_runs(counted)}
    assert found["full", "all"] == 100
    assert found["apet:merge=no", "pope"] == pytest.approx(75)
    assert found["apet:merge=no", "all"] == pytest.approx(77.5)


def test_a_limit_a_task_or_a_field_is_another_folder(tmp_path):
    configurations, _ = plan(["apet", "apet:merge=no"], [64], ["off"], 1, 32)
    runs = [
        LmmsRun(None, one, (Measure(task, ("m",)),), limit, tmp_path)
        for one in configurations
        for limit in (None, 8)
        for task in "ab"
    ]
    assert len({run.output for run in runs}) == 12


def test_a_folder_that_lmms_eval_would_misread_is_refused(tmp_path):
    configurations, _ = plan(["apet"], [64], ["off"], 1, 32)
    run = LmmsRun("a,b", configurations[0], (Measure("gqa", ("m",)),), None, tmp_path)
    with pytest.raises(ApETError, match="pretrained=a,b"):
        _ = run.arguments


def test_what_has_finished_is_read_without_running(tmp_path):
    """Also where nothing can be run; what cannot be read is named."""
    asked = ("paper-table-llava-1.5", "--tasks", "gqa", "--keep", "64", "--no-run", "--output", str(tmp_path))
    table = PUBLISHED["paper-table-llava-1.5"]
    whole, kept = Reproduction.of(
        "paper-table-llava-1.5", table, ["gqa"], [64], None, tmp_path, 32
    ).runs.values()
    for run, text in ((whole, '{"results": {"gqa": {"exact_match,none": 0.5}}}'), (kept, '{"results": {"gq')):
        run.output.mkdir(parents=True)
        (run.output / "a_results.json").write_text(text)
    done = _run("reproduce", *asked)
    assert "50.0" in next(line for line in done.stdout.splitlines() if line.startswith("GQA, here"))
    assert isinstance(done.exception, ApETError)
    assert "1 run of 2 without a figure, the first GQA at 64" in str(done.exception)
