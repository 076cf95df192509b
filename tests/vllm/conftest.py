"""Tiny models on disk, built once. What needs vLLM is collected only where it is: `make test-vllm`."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
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
            group = named.params.get("name", item.path.stem) if named else item.path.stem
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
