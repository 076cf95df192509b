"""``apet models``."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from apet.hf.families import supported_models

__all__ = ["print_models"]


def print_models() -> None:
    """Prints the supported model types, one row each."""
    table = Table("model type", "family", "class", "inputs", "for example", box=None, header_style="bold")
    for family in supported_models():
        table.add_row(
            family.model_type,
            family.title,
            ", ".join(family.classes),
            ", ".join(family.inputs),
            ", ".join(family.checkpoints),
        )
    Console().print(table)
