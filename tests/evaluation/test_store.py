"""A file of finished work survives what a killed process leaves behind, and nothing else."""

import pytest

from apet.core.errors import ApETError
from apet.evaluation import draw_cases
from apet.evaluation.store import Records, Store


def test_lines_come_back(tmp_path):
    path = tmp_path / "new" / "folder" / "answers.jsonl"
    with Store(path) as store:
        store.add({"a": 1})
        assert path.read_text() == '{"a":1}\n'  # before the file is closed
    with Store(path) as store:
        store.add({"b": "\n"})
        assert store.lines == [{"a": 1}, {"b": "\n"}]


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"a":1}\n{"b":')
    with Store(path) as store:
        assert store.lines == [{"a": 1}]
        store.add({"c": 3})
    assert path.read_text() == '{"a":1}\n{"c":3}\n'


def test_other_damage_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"a":1}\n{"b":\n{"c":3}\n')
    with pytest.raises(ApETError, match="line 2"):
        Store(path)
    assert path.read_text() == '{"a":1}\n{"b":\n{"c":3}\n'


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ApETError, match="--output"):
        Store(tmp_path / "file" / "answers.jsonl")


def test_times_that_lack_a_figure_are_taken_anew():
    (case,) = draw_cases(["exist"], 1)
    line = {"kind": "time", "run": "f", "case": case.key, "select": 0.001, "first": 0.1}
    records = Records([line])
    assert not records.is_timed("f", case)
    assert records.times("f", [case]) == []
    records.read(line | {"total": 0.2})
    assert records.is_timed("f", case)
    assert len(records.times("f", [case])) == 1
