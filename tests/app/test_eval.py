"""``apet eval`` from the command line, and a run that is killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apet.app.main import app
from apet.core.errors import ApETError

KEYS = {
    *("method", "keep", "stage2", "task", "seed", "n", "accuracy", "retention", "changed"),
    *("kept_tokens", "select_ms", "first_token_s", "total_s"),
}


def _run(*arguments):
    return CliRunner().invoke(app, ["eval", *arguments], catch_exceptions=True)


def test_json_is_one_object_of_rows(tmp_path):
    arguments = ("--methods", "apet,random", "--keep", "64", "--stage2", "paper", "--tasks", "exist,read")
    options = ("--seeds", "2", "--limit", "2", "--output", str(tmp_path), "--json")
    done = _run(*arguments, *options)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert all(set(row) >= KEYS for row in rows)
    found = [(row["method"], row["keep"], row["stage2"], row["seed"]) for row in rows if row["task"] == "all"]
    assert found == [
        ("full", None, "off", None),
        ("apet", 64, "paper", None),
        ("random", 64, "paper", 0),
        ("random", 64, "paper", 1),
    ]
    assert {row["task"] for row in rows} == {"all", "exist", "read"}
    before = (tmp_path / "answers.jsonl").read_bytes()
    assert json.loads(_run(*arguments, *options).stdout)["rows"] == rows  # nothing is asked again
    assert (tmp_path / "answers.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--methods", "apett"), "'apett'"),
        (("--methods", "apet,,random"), "apet,,random"),
        (("--keep", "many"), "'many'"),
        (("--keep", "0"), "0"),
        (("--keep", "577", "--methods", "apet", "--stage2", "off", "--limit", "1"), "577"),
        (("--stage2", "both"), "'both'"),
        (("--tasks", "exist,chess"), "'chess'"),
        (("--seeds", "0"), "--seeds"),
        (("--limit", "0"), "--limit"),
        (("--model", "./no/such/folder"), "no such folder"),
    ],
)
def test_bad_options_are_one_error(arguments, words, tmp_path):
    done = _run(*arguments, "--output", str(tmp_path / "out"))
    assert isinstance(done.exception, ApETError), done.output
    assert words in str(done.exception)
    assert done.stdout == ""


def _children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_a_killed_run_goes_on_and_loses_nothing(tmp_path):
    answers = tmp_path / "answers.jsonl"
    command = [sys.executable, "-m", "apet.app.main", "eval", "--methods", "apet", "--keep", "32"]
    command += [
        "--stage2",
        "off",
        "--tasks",
        "exist",
        "--limit",
        "20",
        "--workers",
        "2",
        "--output",
        str(tmp_path),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        end = time.monotonic() + 500
        while not (answers.exists() and answers.read_bytes().count(b"\n") >= 1):
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.05)
        workers = _children(first.pid)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    while any(Path(f"/proc/{worker}").exists() for worker in workers):  # they see that nobody waits for them
        assert time.monotonic() < end
        time.sleep(0.05)
    kept = answers.read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    assert 1 <= whole.count(b"\n") < 4  # two groups of pictures under two configurations are not done
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert answers.read_bytes().startswith(whole)
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    asked = [(line["run"], case) for line in lines if line["kind"] == "answers" for case in line["answers"]]
    assert len(asked) == len(set(asked)) == 2 * 20
    assert {row["n"] for row in json.loads(done.stdout)["rows"]} == {20}
