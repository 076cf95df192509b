"""Values of command-line options, from their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from apet.app.command import typed
from apet.core.budget import check_keep
from apet.core.errors import ApETError
from apet.core.words import one_of, read_number
from apet.evaluation.configurations import FULL, parse_method
from apet.methods import METHODS, Method, Stage2, named

_KEPT = {False: "64", True: "64,128,192"}
"""What is kept if nothing is said, by whether several budgets are taken."""


def parse_keep(text: str, option: str | None = None) -> int | float:
    """A budget: ``"64"`` is 64 tokens, ``"0.11"`` and ``"1.0"`` are shares."""
    number = read_number(text)
    if number is None:
        expected = "a number of tokens such as 64, or a share such as 0.11"
        raise ApETError(option or typed("keep", "keep"), repr(text), expected)
    return number


def parse_keeps(text: str, option: str | None = None) -> list[int | float]:
    """``"64,128,0.5"``: several budgets, each once."""
    option = option or typed("keep", "keep")
    keeps = [parse_keep(part, option) for part in text.split(",")]
    checked = (check_keep(keep, option) for keep in keeps)
    return list({(type(keep), keep): keep for keep in checked}.values())  # 1 is one token, 1.0 all


def parse_methods(
    spec: str, keep: str | None, tolerance: str | None, stage2: Stage2 | None = None, *, several: bool
) -> list[Method]:
    """A method such as ``"greedy:rounds=4"`` at one budget, or at several if so, separated by commas.

    ``keep`` are counts or shares, ``tolerance`` error bounds in place of them; 64, or several, where nothing
    says how much is kept.
    """
    name, fields = parse_method(spec, typed("method", "method"))
    if name == FULL:
        raise ApETError(typed("method", "method"), repr(name), one_of(METHODS, name))
    if stage2 is not None:
        fields = {**fields, "stage2": stage2}
    if keep is None and tolerance is None and "tolerance" in fields:
        return [made(name, None, fields)]
    read = parse_keeps if several else lambda text: [parse_keep(text)]
    if tolerance is None:
        return [made(name, count, fields) for count in read(keep or _KEPT[several])]
    if "tolerance" in fields:
        raise ApETError(typed("tolerance"), f"{tolerance} beside {spec}", "one tolerance")
    count = None if keep is None else read(keep)[0]
    shares = [_share(part) for part in (tolerance.split(",") if several else [tolerance])]
    reserved = ("keep", "stage2", "tolerance")
    return [made(name, count, {**fields, "tolerance": share}, reserved) for share in dict.fromkeys(shares)]


def made(
    name: str, keep: int | float | None, fields: dict[str, Any], own: Sequence[str] = ("keep", "stage2")
) -> Method:
    """Makes a method; an error names the option that was typed: that of the field which it speaks of.

    Fields out of ``own`` come from an option of their own, the others from ``--method``.
    """
    try:
        return named(name, keep, **fields)
    except ApETError as error:
        field = re.split(r"[=. ]", error.got, maxsplit=1)[0]
        option = field if field in own else "method"
        got = f"{error.got} for {error.operation}" if option == "stage2" else error.got
        raise ApETError(typed(option, option), got, error.expected) from error


def _share(text: str) -> float:
    number = read_number(text)
    if number is None:
        raise ApETError(typed("tolerance", "tolerance"), repr(text), "a share of error such as 0.05")
    return float(number)


def parse_stage2(text: str | None) -> Stage2 | None:
    """``"16:32"``: before decoder layer 16, keep 32 tokens."""
    if text is None:
        return None
    layer, colon, keep = text.partition(":")
    number = read_number(layer)
    if not colon or not isinstance(number, int):
        raise ApETError(typed("stage2", "stage2"), repr(text), "LAYER:KEEP such as 16:32")
    share = parse_keep(keep, typed("stage2", "stage2"))
    try:
        return Stage2(number, share)
    except ApETError as error:
        raise ApETError(typed("stage2", "stage2"), error.got, error.expected) from error
