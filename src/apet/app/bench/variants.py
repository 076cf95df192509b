"""The ways to run that ``apet bench generate`` compares."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from apet.evaluation.plain import applied
from apet.hf.sessions import Session
from apet.methods import METHODS, ApET, Method, named


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        name: Its name in the table.
        method: Makes what is applied; None for a run without compression. It may raise `ApETError`.
        oracle: Whether the prompt has as few visual tokens from the start as ApET leaves.
    """

    name: str
    method: Callable[[], Method] | None = None
    oracle: bool = False

    def applied(self, model: nn.Module) -> AbstractContextManager[Session | None]:
        """Applies the method within a ``with`` block; on eager attention where it reads weights."""
        return applied(model, None if self.method is None else self.method())

    def inputs(self, model: Any, given: dict[str, Tensor], placeholder: int, left: int) -> dict[str, Any]:
        """What ``generate`` gets.

        The oracle encodes the pictures as all rows do. Its prompt then has ``left`` visual tokens, at no
        cost: the first ones of each row, as embeddings.
        """
        if not self.oracle:
            return dict(given)
        rows = []
        for row in given["input_ids"]:
            stays = torch.ones_like(row, dtype=torch.bool)
            stays[(row == placeholder).nonzero().flatten()[left:]] = False
            rows.append(row[stays])
        short = torch.stack(rows)
        return {
            "inputs_embeds": model.get_input_embeddings()(short),
            "attention_mask": torch.ones_like(short),
        }


def variants(keep: int, two: Method | None, others: Collection[str] = tuple(METHODS)) -> list[Variant]:
    """The rows: ApET at ``keep`` and ``two``, if given, and of the others those that take pictures."""
    names = [name for name in METHODS if name in others and name != "apet" and "image" in METHODS[name].takes]
    return [
        Variant("uncompressed"),
        Variant("apet", lambda: ApET(keep)),
        *([] if two is None else [Variant("apet, two stages", lambda: two)]),
        Variant("oracle", oracle=True),
        *(Variant(name, partial(named, name, keep)) for name in names),
    ]
