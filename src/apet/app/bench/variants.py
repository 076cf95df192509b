"""The ways to run that ``apet bench generate`` compares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apet.hf import compressing
from apet.hf.api import on_its_attention
from apet.hf.sessions import Session
from apet.methods import METHODS, ApET, Method, Stage2, named


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

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[Session | None]:
        """Applies the method within a ``with`` block; on eager attention where it reads weights."""
        if self.method is None:
            yield None
        else:
            method = self.method()
            with on_its_attention(model, method), compressing(model, method) as session:
                yield session

    def inputs(self, model: Any, given: dict[str, Tensor], placeholder: int, left: int) -> dict[str, Any]:
        """What ``generate`` gets.

        The oracle encodes the pictures as all rows do. Its prompt then has ``left`` visual tokens, at no
        cost: the first ones of each row, as embeddings.
        """
        if not self.oracle:
            return dict(given)
        ids = given["input_ids"]
        rows = []
        for row in ids:
            visual = (row == placeholder).nonzero().flatten()
            stays = torch.ones_like(row, dtype=torch.bool)
            stays[visual[left:]] = False
            rows.append(row[stays])
        short = torch.stack(rows)
        return {
            "inputs_embeds": model.get_input_embeddings()(short),
            "attention_mask": torch.ones_like(short),
        }


def _by_name(name: str, keep: int) -> Callable[[], Method]:
    return lambda: named(name, keep)


def _fits(name: str) -> bool:
    return name != "apet" and "image" in METHODS[name].takes


def variants(
    keep: int, stage2: Stage2 | None, first: int, others: Collection[str] | None = None
) -> list[Variant]:
    """The rows.

    Args:
        keep: Visual tokens of each picture, tile or frame in every decoder layer.
        stage2: The second stage of the two-stage row; None leaves that row out.
        first: What its first stage keeps.
        others: Methods beside ApET; None for all that take pictures.
    """
    rows = [Variant("uncompressed"), Variant("apet", lambda: ApET(keep))]
    if stage2 is not None:
        rows.append(Variant("apet, two stages", lambda: ApET(first, stage2=stage2)))
    rows.append(Variant("oracle", oracle=True))
    rows += [
        Variant(name, _by_name(name, keep))
        for name in METHODS
        if _fits(name) and (others is None or name in others)
    ]
    return rows
