"""Every name of ``apet`` has an example in its docstring, and every example does what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import apet

PARSER = doctest.DocTestParser()
EXPLAINED = [
    name for name in apet.__all__ if not name.startswith("__") and name not in ("embedded", "methods")
]


def modules_with_examples() -> list[str]:
    """Read as text first: importing every module would load vLLM and Gradio."""
    root = Path(apet.__file__).parent
    files = [path for path in sorted(root.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    names = [".".join(("apet", *path.relative_to(root).with_suffix("").parts)) for path in files]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_public_name_has_an_example(name):
    assert PARSER.get_examples(getattr(apet, name).__doc__), name


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_do_what_they_say(name):
    results = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted
    assert not results.failed
