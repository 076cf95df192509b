"""Writes what an evaluation found into its folder."""

from __future__ import annotations

import json
from pathlib import Path

from apet.core.errors import ApETError
from apet.evaluation.evaluate import Evaluation
from apet.evaluation.markdown import to_markdown
from apet.evaluation.page import to_html


def write_report(result: Evaluation, folder: Path) -> list[Path]:
    """Writes ``results.json``, ``results.md`` and ``results.html``.

    Returns:
        Their paths.

    Raises:
        ApETError: If the folder cannot be written to.
    """
    contents = {
        "results.json": json.dumps(result.as_json(), indent=1) + "\n",
        "results.md": to_markdown(result),
        "results.html": to_html(result),
    }
    try:
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ApETError("eval --output", f"{folder} ({error.strerror})", "a writable folder") from error
    return [folder / name for name in contents]
