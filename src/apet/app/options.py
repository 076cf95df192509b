"""Values of command-line options, from their text."""

from __future__ import annotations

from apet.core.budget import check_keep
from apet.core.errors import ApETError
from apet.methods import METHODS, Method, Stage2, named

__all__ = ["parse_budget", "parse_keep", "parse_keeps", "parse_method", "parse_stage2"]


def parse_keep(text: str, option: str = "ask --keep") -> int | float:
    """A budget: ``"64"`` is 64 tokens, ``"0.11"`` and ``"1.0"`` are shares.

    Raises:
        ApETError: If the text is no number; the number's range is checked where it is used.
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ApETError(option, repr(text), "a number of tokens such as 64, or a share such as 0.11")


def parse_budget(keep: str | None, tolerance: str | None) -> tuple[int | float | None, float | None]:
    """The count and the tolerance of a method: 64 tokens where neither is given.

    Raises:
        ApETError: If one is no number; what does not go together is refused where it is used.
    """
    if tolerance is None:
        return parse_keep("64" if keep is None else keep), None
    try:
        share = float(tolerance)
    except ValueError:
        expected = "a share of error such as 0.05"
        raise ApETError("ask --tolerance", repr(tolerance), expected) from None
    return None if keep is None else parse_keep(keep), share


def parse_stage2(text: str | None) -> Stage2 | None:
    """``"16:32"``: before decoder layer 16, keep 32 tokens.

    Raises:
        ApETError: If the text is not of that form.
    """
    if text is None:
        return None
    layer, colon, keep = text.partition(":")
    if not colon or not (layer.isascii() and layer.isdecimal()):
        raise ApETError("ask --stage2", repr(text), "LAYER:KEEP such as 16:32")
    return Stage2(int(layer), parse_keep(keep, "ask --stage2"))


def parse_keeps(text: str, option: str) -> list[int | float]:
    """``"64,128,0.5"``: several budgets, each once.

    Raises:
        ApETError: If one of them is none.
    """
    found = [parse_keep(part.strip(), option) for part in text.split(",")]
    return list(dict.fromkeys(check_keep(keep, option) for keep in found))


def parse_method(name: str, keep: int | float, option: str) -> Method:
    """A method by its name in `apet.methods.METHODS`.

    Raises:
        ApETError: If there is none of that name, or the budget is not valid.
    """
    if name not in METHODS:
        raise ApETError(option, repr(name), "one of: " + ", ".join(METHODS))
    return named(name, keep)
