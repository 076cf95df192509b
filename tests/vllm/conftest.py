"""Tiny models on disk, built once. What needs vLLM is collected only where it is: `make test-vllm`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    collect_ignore = [
        f"test_{name}.py" for name in ("configs", "engine", "hooks", "lora", "processor", "server", "stages")
    ]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model."""
    from tests.vllm.tiny import save

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            save(name, made[name])
        return made[name]

    return folder
