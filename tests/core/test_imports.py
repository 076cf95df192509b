"""Who may import whom: torch, then the core, then the methods."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import apet.core

SOURCE = Path(apet.core.__file__).parents[1]
ALLOWED = {"core": ("torch", "apet.core"), "methods": ("torch", "apet.core", "apet.methods")}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module


@pytest.mark.parametrize("floor", ALLOWED)
def test_imports_go_one_way(floor):
    files = list((SOURCE / floor).glob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            if name.split(".")[0] not in sys.stdlib_module_names:
                assert any(name == one or name.startswith(one + ".") for one in ALLOWED[floor]), (
                    path.name,
                    name,
                )
