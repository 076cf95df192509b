"""Every hint to install apet, in messages and pages, is the command that `apet.installing` decides on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from apet.installing import install

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(
        path
        for folder in ("docs", "examples", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file()
    ),
    *ROOT.glob("*.md"),
]
TEXTS = [path for path in PAGES if path.suffix in (".md", ".ipynb", ".py", ".yml")]
HINT = re.compile(r"""pip install (?:-e )?(?:'|\\?")?(?:apet|\.)\[[\w,-]+\](?:'|\\?")?""")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("path", dict.fromkeys(TEXTS), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_say_the_command(path):
    for found in HINT.findall(path.read_text(encoding="utf-8")):
        (extra,) = re.findall(r"\[([\w,-]+)\]", found)
        assert found == install(extra)
        assert set(extra.split(",")) <= set(EXTRAS)


def test_messages_ask_for_the_command():
    """No message has an extra's name in brackets of its own."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        if path.name != "installing.py":
            assert not HINT.findall(path.read_text(encoding="utf-8")), path.name


def test_every_hint_names_an_extra():
    asked = {
        extra
        for path in (ROOT / "src").rglob("*.py")
        for extra in re.findall(r"""\binstall\(["']([\w,-]+)["']\)""", path.read_text(encoding="utf-8"))
    }
    assert asked
    assert asked <= set(EXTRAS)
