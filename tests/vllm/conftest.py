"""Tiny models on disk, built once. What needs vLLM is collected only where it is: `make test-vllm`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    collect_ignore = [
        f"test_{name}.py"
        for name in ("configs", "engine", "hooks", "http", "lora", "processor", "server", "stages")
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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the embedded model, which keeps 64 tokens of a picture."""
    from tests.vllm.server import serving

    options = ["--trust-request-mm-kwargs", "--max-model-len", "1024", "--max-num-seqs", "16"]
    options += ["--enforce-eager", "--gpu-memory-utilization", "0.1", "--block-size", "32"]
    log = tmp_path_factory.mktemp("server") / "log"
    with serving("--keep", "64", "--budgets", "48,0.05", *options, log=log) as address:
        yield address
