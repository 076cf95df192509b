"""What a newcomer copies out of the pages runs; what a package index shows has no broken picture or link."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import apet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_first_snippets_run_as_they_stand(page, tmp_path, monkeypatch, capsys):
    """All of a page, in order, in a folder that has the examples as a clone has; offline."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blocks = re.findall(r"^```python\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert (tmp_path / "kept.png").stat().st_size > 1000
    said = capsys.readouterr().out
    assert ("OTTER" if page == "README.md" else "63 of 576") in said


def test_what_the_first_lines_need_is_a_dependency():
    needed = {Requirement(one).name for one in PROJECT["project"]["dependencies"]}
    assert {"torch", "transformers", "accelerate", "pillow"} <= needed


def shown_by_an_index():
    """The README as the wheel's metadata has it."""
    shown = text("README.md")
    for one in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(one["pattern"], one["replacement"], shown)
    return shown


def test_the_readme_counts_the_types_of_models():
    assert f"| models | {len(apet.supported_models())} types" in text("README.md")


def test_an_index_shows_no_relative_picture_or_link():
    assert LINK.findall(text("README.md")), "nothing is replaced"
    shown = shown_by_an_index()
    assert not LINK.findall(shown)
    assert "](https://arxiv.org/abs/2602.19870)" in shown
    assert "docs/limits.md" in shown


@pytest.mark.parametrize(
    "page",
    [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]],
)
def test_links_of_the_repository_lead_somewhere(page):
    missing = [link for link in LINK.findall(text(page)) if not ((ROOT / page).parent / link).exists()]
    assert not missing


def test_one_version_everywhere():
    version = PROJECT["project"]["version"]
    assert apet.__version__ == version
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)[1] == version


def test_every_page_is_in_the_navigation():
    nav = re.findall(r"^  - .+: (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE)
    assert sorted(nav) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_classifiers_are_what_the_workflow_tests():
    prefix = "Programming Language :: Python :: 3."
    claimed = {
        one.removeprefix(prefix) for one in PROJECT["project"]["classifiers"] if one.startswith(prefix)
    }
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert {f"3.{minor}" for minor in claimed} == set(tested)


def test_the_makefile_knows_what_the_workflows_call():
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))
    called = {
        name
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for name in re.findall(r"run: make ([\w-]+)", path.read_text(encoding="utf-8"))
    }
    assert called
    assert called <= targets
