"""What commands say while they work."""

import os

import pytest
from typer.testing import CliRunner

from apet.app import console
from apet.app.console import Lines, hint_if_busy
from apet.app.main import app


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_progress_in_a_pipe_is_a_line_now_and_then(clock, capsys):
    tell = Lines("eval", lambda done, total: f"{total - done} to do")
    for done, seconds in enumerate((100.0, 104.0, 108.0, 112.0, 116.0, 150.0, 151.0)):
        clock[0] = seconds
        tell(done, 6, "apet")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "6 to do",
        "apet eval: 3 of 6, about 12 s left (apet)",
        "apet eval: 5 of 6, about 10 s left (apet)",
        "apet eval: 6 of 6 (apet)",
    ]


def test_what_an_earlier_run_did_took_no_time(clock, capsys):
    tell = Lines("eval")
    tell(50, 100)
    clock[0] = 120.0
    tell(60, 100)
    assert capsys.readouterr().err == "apet eval: 60 of 100, about 1 min left\n"


@pytest.mark.parametrize(("load", "told"), [(2.0, ""), (2.6, "other work is running (load 2.6 on 2 cores)")])
def test_a_machine_with_other_work_is_told(monkeypatch, capsys, load, told):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    hint_if_busy()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(told)
    assert bool(err) == bool(told)


def test_bench_ops_tells_the_load_and_how_far_it_is(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    done = CliRunner().invoke(app, ["bench", "ops", "--sizes", "60x16x9,30x8x3", "--repeats", "1"])
    assert done.exit_code == 0, done.output
    first, *rest = done.stderr.splitlines()
    assert first.startswith("other work is running (load 99.0 on ")
    assert rest == ["size 1 of 2: 1x60x16x9", "size 2 of 2: 1x30x8x3"]
    assert "size 1 of" not in done.stdout


def test_eval_tells_its_progress_beside_its_table(tmp_path):
    arguments = ["eval", "--methods", "apet", "--keep", "64", "--stage2", "off", "--tasks", "exist"]
    options = ["--limit", "2", "--no-times", "--workers", "1", "--output", str(tmp_path)]
    done = CliRunner().invoke(app, arguments + options)
    assert done.exit_code == 0, done.output
    first, *rest = done.stderr.splitlines()
    assert first.startswith("apet eval: ")
    assert "to do; --methods" in first
    assert rest[-1].startswith("apet eval: ")
    count = rest[-1].split(": ")[1].split(" (")[0].split(" of ")
    assert count[0] == count[1]
    assert "apet eval:" not in done.stdout
