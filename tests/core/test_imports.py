"""Who may import whom: torch, then the core, then the methods, then the plugin of vLLM."""

from __future__ import annotations

import ast
import json
import re
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
    """The names of modules that a file imports, at its top or later, relative ones made whole."""
    package = (SOURCE.name, *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            # of a package, what is imported may be a module
            yield from (f"{module}.{alias.name}" if module == SOURCE.name else module for alias in node.names)


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


def strings(path):
    """Every string of a file but docstrings, f-strings' parts included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_the_core_names_no_floor_above_it():
    """Not by import, and not by a string that is imported later."""
    above = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - {"core"}
    assert "kernels" in above
    for path in (SOURCE / "core").rglob("*.py"):
        told = " ".join((*strings(path), *imported(path)))
        assert not set(re.findall(r"apet\.(\w+)", told)) & above, path.name


def test_what_plugs_in_imports_nothing_of_the_package():
    names = [name.split(".")[0] for name in imported(SOURCE / "implementations.py")]
    assert set(names) <= {"__future__", *sys.stdlib_module_names}


HEAVY = {"transformers", "triton", "typer", "rich", "PIL", "matplotlib"}
STEPS = {
    "import apet": {"torch", "numpy", "transformers"},
    "apet.ApET": HEAVY,
    "apet.compress": HEAVY,
    "import torch; apet.compress(torch.eye(4), 2)": {"transformers", "apet.hf", "apet.kernels", "apet.app"},
}
"""One after another in a process, and what none of them up to here has imported."""


def test_what_is_not_imported():
    """Counted in modules, which a loaded machine does not change: what is not imported costs no time."""
    code = "import sys, json\n" + "\n".join(f"{step}; print(json.dumps([*sys.modules]))" for step in STEPS)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    for (step, missing), modules in zip(STEPS.items(), done.stdout.splitlines(), strict=True):
        assert not missing & set(json.loads(modules)), step
