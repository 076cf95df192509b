"""Numbers as people write them: read from text, and put into words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches

_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")


def read_number(text: str) -> int | float | None:
    """``"64"`` as an int, ``"0.11"`` and ``"1.0"`` as floats; None for anything else.

    Python's ``int`` and ``float`` also take ``1_0``, digits of any script, ``nan`` and ``inf``.
    """
    text = text.strip()
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else None


def figure(value: float) -> str:
    """Three significant digits, and all digits before the point: 1140, 53.4, 0.00012."""
    rounded = float(f"{value:.3g}")
    if not rounded or not math.isfinite(rounded):
        return f"{rounded:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if digits else text
    return text.replace(",", "") if abs(rounded) < 10_000 else text


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def in_time(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def shortened(text: str) -> str:
    """What was given as errors show it: long text is cut."""
    return text if len(text) <= 40 else f"{text[:40]}.."


def one_of(known: Iterable[str], name: str) -> str:
    """``one of apet, spread``, and which of them ``name`` may have meant: ``; did you mean spread?``."""
    spelled = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), spelled, 1)
    return f"one of {', '.join(spelled.values())}" + "".join(
        f"; did you mean {spelled[one]}?" for one in near
    )
