"""``apet models``, and the page of the documentation that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apet.app.main import app
from apet.hf.families import FAMILIES, UNSUPPORTED

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def run(*options):
    result = CliRunner().invoke(app, ["models", *options], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_lists_every_type():
    lines = [line.split() for line in run().splitlines()]
    assert {line[0] for line in lines[1:] if line} >= FAMILIES.keys()
    assert f"{len(FAMILIES)} types" in run()


def test_the_others_with_their_reasons():
    text = run("--unsupported")
    for name, reason in UNSUPPORTED.items():
        assert name in text
        assert " ".join(reason.split()[:4]) in text


def test_json():
    report = json.loads(run("--json"))
    assert {row["model_type"] for row in report["supported"]} == FAMILIES.keys()
    assert report["unsupported"] == UNSUPPORTED
    assert {row["stages"] for row in report["supported"]} == {"1", "1, 2"}


def test_the_committed_page_is_what_is_printed():
    assert PAGE.read_text() == run("--markdown"), "run: apet models --markdown > docs/models.md"


@pytest.mark.parametrize(
    ("options", "whole"),
    [((), "llava-hf/llava-1.5-7b-hf"), (("--unsupported",), "no visual token stands in the sequence")],
)
def test_nothing_is_cut_where_the_output_is_no_terminal(options, whole):
    """However narrow the terminal is that started it."""
    narrow = CliRunner().invoke(app, ["models", *options], env={"COLUMNS": "40"})
    assert narrow.exit_code == 0
    assert "…" not in narrow.output
    assert whole in narrow.output
