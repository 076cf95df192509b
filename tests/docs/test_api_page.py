"""The API page shows every public name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^::: (\S+)$", PAGE, re.MULTILINE)
ROOMS = ["apet", "apet.core", "apet.embedded", "apet.evaluation", "apet.hf", "apet.methods", "apet.pictures"]


def value(path):
    room, _, name = path.rpartition(".")
    return getattr(import_module(room), name)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_shown(room):
    """Under its own name or that of another room which hands the same thing on."""
    shown = [value(path) for path in SHOWN]
    missing = []
    for name in import_module(room).__all__:
        found = value(f"{room}.{name}")
        mentioned = f"{room}.{name}" in ROOMS or f"`{room}.{name}`" in PAGE
        if not mentioned and not any(found is one for one in shown):
            missing.append(f"{room}.{name}")
    assert not missing


def test_the_page_shows_public_names_only():
    private = [
        path
        for path in SHOWN
        if path.rpartition(".")[2] not in import_module(path.rpartition(".")[0]).__all__
    ]
    assert not private
    assert len(set(SHOWN)) == len(SHOWN)
