"""The error of every token by rank, with the cut marked."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from apet.core.words import figure
from apet.pictures.decisions import Decision
from apet.pictures.style import BASIS, CUT, DROPPED, FAINT, INK, KEPT, PAPER, font, text_width

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 30, 54


def cut_of(decision: Decision) -> int | None:
    """How many tokens the errors alone let through: the rank of the cut.

    None where no single error divides the tokens that were kept from those that were dropped, basis tokens
    aside: the method then goes by something else.
    """
    free = np.ones(len(decision.kept), bool)
    free[decision.basis] = False
    kept, dropped = decision.errors[free & decision.kept], decision.errors[free & ~decision.kept]
    if not decision.errors.any() or (len(kept) and len(dropped) and kept.min() < dropped.max()):
        return None
    return len(kept)


def draw_ranks(decision: Decision, size: tuple[int, int] = (480, 260)) -> Image.Image:
    """Draws the errors from the largest to the smallest: kept ones bright, dropped ones grey."""
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    left, right, top, bottom = _LEFT, size[0] - _RIGHT, _TOP, size[1] - _BOTTOM
    most = float(decision.errors.max(initial=0))
    if most <= 0:
        middle = (size[0] // 2, size[1] // 2)
        pen.text(middle, "this method computes no errors", fill=FAINT, font=font(14), anchor="mm")
        return image
    order = np.lexsort((np.arange(len(decision.errors)), -decision.errors))
    edges = left + (right - left) * np.arange(len(order) + 1) / len(order)
    basis = set(decision.basis.tolist())
    for rank, token in enumerate(order.tolist()):
        colour = BASIS if token in basis else KEPT if decision.kept[token] else DROPPED
        height = max((bottom - top) * float(decision.errors[token]) / most, 3 if token in basis else 0)
        pen.rectangle((round(edges[rank]), bottom - height, round(edges[rank + 1]), bottom), fill=colour)
    _axes(pen, (left, top, right, bottom), most, len(order))
    _legend(pen, left, bottom + 36, basis=bool(basis))
    cut = cut_of(decision)
    if cut is not None:
        x = round(edges[cut])
        pen.line((x, top - 4, x, bottom), fill=CUT, width=2)
        also = f"{len(basis)} basis tokens"
        words = f"cut: the {cut:,} largest errors, and {also}" if cut else f"cut: the {also} alone"
        x = min(x + 6, size[0] - text_width(words, 13) - 4)
        pen.text((x, top - 14), words, fill=CUT, font=font(13), anchor="lm")
    return image


def _axes(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], most: float, count: int) -> None:
    left, top, right, bottom = box
    pen.line((left, bottom, right, bottom), fill=INK)
    pen.text((left - 6, top), figure(most), fill=FAINT, font=font(12), anchor="rm")
    pen.text((left - 6, bottom), "0", fill=FAINT, font=font(12), anchor="rm")
    pen.text((left, bottom + 6), "1", fill=FAINT, font=font(12), anchor="lt")
    pen.text((right, bottom + 6), f"{count:,}", fill=FAINT, font=font(12), anchor="rt")
    words = "tokens by approximation error"
    pen.text(((left + right) // 2, bottom + 6), words, fill=FAINT, font=font(12), anchor="mt")


def _legend(pen: ImageDraw.ImageDraw, x: int, middle: int, *, basis: bool) -> None:
    for colour, word in ((KEPT, "kept"), (DROPPED, "dropped"), *(((BASIS, "basis"),) if basis else ())):
        pen.rectangle((x, middle - 5, x + 10, middle + 5), fill=colour, outline=FAINT)
        pen.text((x + 16, middle), word, fill=INK, font=font(12), anchor="lm")
        x += 16 + text_width(word, 12) + 18
