"""Shared models, built once; and a plain setting for torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers

import apet.hf
from tests.hf.families import ABSENT
from tests.hf.tiny import tiny_llava


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many families the installed transformers does not have; their tests are not collected."""
    if ABSENT:
        names = ", ".join(sorted(ABSENT))
        terminalreporter.write_line(
            f"{len(ABSENT)} tiny models are of types that transformers {transformers.__version__} "
            f"does not have: {names}"
        )


@pytest.fixture(scope="session")
def models() -> dict[str, Any]:
    """The tiny LLaVA per attention implementation, with the same weights."""
    return {attention: tiny_llava(attention) for attention in ("sdpa", "eager")}


@pytest.fixture
def llava(models: dict[str, Any]) -> Iterator[Any]:
    """The tiny LLaVA with sdpa. Every test must hand it back uncompressed."""
    model = models["sdpa"]
    yield model
    left = apet.hf.remove(model)
    assert not left, "the test left the shared model compressed"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)
