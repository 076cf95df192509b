"""Every method by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from apet.core.budget import Keep
from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.methods.apet import ApET
from apet.methods.base import Method
from apet.methods.cdpruner import CDPruner
from apet.methods.context import NEEDS
from apet.methods.dart import DART
from apet.methods.divprune import DivPrune
from apet.methods.downsample import Downsample
from apet.methods.evs import EVS
from apet.methods.fastv import FastV
from apet.methods.greedy import Greedy
from apet.methods.grid import Grid
from apet.methods.hiprune import HiPrune
from apet.methods.noimage import NoImage
from apet.methods.norm import Norm
from apet.methods.pool import Pool
from apet.methods.prumerge import PruMerge
from apet.methods.pyramiddrop import PyramidDrop
from apet.methods.random import Random
from apet.methods.sparsevlm import SparseVLM
from apet.methods.spread import Spread
from apet.methods.textual import SPARE, ResPrune
from apet.methods.tome import ToMe
from apet.methods.unlike import Unlike
from apet.methods.vidcom2 import VidCom2
from apet.methods.visionzip import VisionZip
from apet.methods.vispruner import VisPruner

METHODS: dict[str, type[Method]] = {
    "apet": ApET,
    "spread": Spread,
    "greedy": Greedy,
    "random": Random,
    "grid": Grid,
    "pool": Pool,
    "norm": Norm,
    "downsample": Downsample,
    "none": NoImage,
    "divprune": DivPrune,
    "unlike": Unlike,
    "tome": ToMe,
    "fastv": FastV,
    "dart": DART,
    "visionzip": VisionZip,
    "pyramiddrop": PyramidDrop,
    "cdpruner": CDPruner,
    "resprune": ResPrune,
    "spare": SPARE,
    "vispruner": VisPruner,
    "hiprune": HiPrune,
    "prumerge+": PruMerge,
    "sparsevlm": SparseVLM,
    "evs": EVS,
    "vidcom2": VidCom2,
}
"""Every method by the name that commands and reports use; those of other packages come last."""


@dataclass(frozen=True)
class Row:
    """A method beside its original.

    Attributes:
        name: Its name in `METHODS`.
        title: Name of its class.
        published: Where it was published; empty for one of this library's own and for controls.
        needs: What it is told besides the tokens: places, the prompt, attention, decoder states.
        blind: Whether it decides by the image alone, whatever the prompt asks.
        takes: What it compresses.
        departs: What is not as published; empty where nothing is known to differ.
    """

    name: str
    title: str
    published: str
    needs: tuple[str, ...]
    blind: bool
    takes: tuple[str, ...]
    departs: str


def rows() -> list[Row]:
    """Every method beside its original, in the order of `METHODS`."""
    table = []
    for name, kind in METHODS.items():
        method = named(name, 0.5)
        needs = tuple(need for need in NEEDS if need in method.needs)
        row = Row(name, kind.__name__, kind.published, needs, method.blind, kind.takes, kind.departs)
        table.append(row)
    return table


def named(name: str, keep: Keep | None, **options: Any) -> Method:
    """Makes a method from its name, so that a table can run all of them at one budget.

    Args:
        name: A name in `METHODS`.
        keep: The budget. ``"none"`` keeps nothing and does not look at it.
        options: The method's other fields.

    Raises:
        ApETError: If there is no such method, or a field is not valid.
    """
    if name not in METHODS:
        raise ApETError("method", repr(name), one_of(METHODS, name))
    method = METHODS[name]
    known = [field.name for field in fields(method) if field.name != "keep"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ApETError("method", f"{name!r} with {', '.join(unknown)}", one_of(known, unknown[0]))
    return NoImage(**options) if method is NoImage else method(keep, **options)
