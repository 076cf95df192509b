"""MkDocs' hook: the release stands behind the site's name, on every page of the built documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def on_config(config: Any) -> Any:
    """Adds the version of pyproject.toml to the name of the site."""
    found = re.search(r'^version = "(.+)"$', PROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    config.site_name = f"{config.site_name} {found[1]}"
    return config
