"""Who may import whom: torch, then the core, then the methods, then the plugin of vLLM."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import apet.core

SOURCE = Path(apet.core.__file__).parents[1]
ALLOWED = {
    "core": ("torch", "apet.core", "apet.implementations"),
    "kernels": ("torch", "triton", "apet.core", "apet.kernels"),
    "methods": ("torch", "apet.core", "apet.methods"),
    "vllm": ("torch", "packaging", "prometheus_client", "vllm", "apet.core", "apet.methods", "apet.vllm"),
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module


@pytest.mark.parametrize("floor", ALLOWED)
def test_imports_go_one_way(floor):
    files = list((SOURCE / floor).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            if name.split(".")[0] not in sys.stdlib_module_names:
                assert any(name == one or name.startswith(one + ".") for one in ALLOWED[floor]), (
                    path.name,
                    name,
                )


def test_the_core_names_no_floor_above_it():
    """Not by import, and not by a string that is imported later."""
    above = [
        path.name for path in SOURCE.iterdir() if path.is_dir() and path.name not in ("core", "__pycache__")
    ]
    for path in (SOURCE / "core").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in above if f"apet.{name}" in text], path.name
    assert list(imported(SOURCE / "implementations.py")) == ["__future__", "collections.abc", "typing"]


@pytest.mark.parametrize(
    ("used", "missing"),
    [
        ("import apet", {"torch", "numpy", "transformers"}),
        ("import apet; apet.compress", {"transformers", "triton", "typer", "rich", "PIL", "matplotlib"}),
        ("import apet; apet.ApET", {"transformers", "triton", "typer", "rich", "PIL", "matplotlib"}),
        (
            "import torch; before = set(sys.modules); import apet; apet.compress(torch.eye(4), 2)",
            {"transformers", "apet.hf", "apet.kernels", "apet.app"},
        ),
    ],
)
def test_what_is_not_imported(used, missing):
    """Counted in modules, which a loaded machine does not change: what is not imported costs no time."""
    code = f"import sys; {used}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert not missing & set(done.stdout.split())
