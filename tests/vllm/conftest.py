"""Tiny models on disk, built once. What needs vLLM is collected only where it is: `make test-vllm`."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("vllm") is None:
    collect_ignore = [
        f"test_{name}.py"
        for name in (
            "configs",
            "engine",
            "hooks",
            "http",
            "lora",
            "parallel",
            "paths",
            "processor",
            "server",
        )
    ]


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups there
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one tiny model stay in one worker, so that each builds it once."""
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            named = getattr(item, "callspec", None)
            home = "test_server" if item.path.stem == "test_http" else item.path.stem  # one server for both
            group = named.params.get("name", home) if named else home
            item.add_marker(pytest.mark.xdist_group(group))


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


@pytest.fixture(scope="session")
def once(checkpoint: Callable[[str], Path]) -> Callable[..., Any]:
    """`tests.vllm.engine.run` of a tiny model, which answers equal plans by one engine."""
    from tests.vllm.engine import run

    made: dict[str, Any] = {}

    def answers(name: str, rounds: list[list[dict[str, Any]]], **options: Any) -> Any:
        plan = json.dumps([name, rounds, options], sort_keys=True)
        if plan not in made:
            made[plan] = run(checkpoint(name), rounds, **options)
        return made[plan]

    return answers


@pytest.fixture(scope="session")
def reference(checkpoint: Callable[[str], Path]) -> Callable[[str], Any]:
    """A tiny model under transformers."""
    from tests.vllm.reference import Reference

    made: dict[str, Any] = {}

    def model(name: str) -> Any:
        if name not in made:
            made[name] = Reference(checkpoint(name))
        return made[name]

    return model
