"""The answers to the questions about a few pictures, under one configuration after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from apet.evaluation.configurations import FULL, Configuration
from apet.evaluation.plain import Reply, answer_plainly
from apet.evaluation.shared import Shared, can_share, encoding_once, is_blind, looks_inside
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.hf.results import ImageResult

BANDS = 24
"""Equal parts of the token sequence; of a 24 x 24 grid in raster order they are the rows."""
_PLAIN = 8
_EAGER = 4  # prompts per call where attention weights are formed: more do not fit the caches


@dataclass(frozen=True)
class Piece:
    """Cases about a few pictures, to be answered under one configuration of that key in the store."""

    key: str
    configuration: Configuration
    cases: Sequence[Case]


def answer_pieces(subject: Subject, pieces: Sequence[Piece]) -> Iterator[dict[str, Any]]:
    """Answers pieces about the same pictures; gives a line for the store as each is done.

    The encoder sees a picture once, and questions about one picture share its prefill, where that changes
    nothing; elsewhere the calls are plain.
    """
    cases = list({case.key: case for piece in pieces for case in piece.cases}.values())
    fitting = [case for case in cases if can_share(subject, case)]
    shared = Shared(subject, fitting) if fitting else None
    quick = {case.key for case in fitting}
    encoded: dict[tuple[Any, ...], Any] = {}
    for piece in pieces:
        built = piece.configuration.built
        once = shared is not None and not looks_inside(built)
        with encoding_once(subject.model.base_model.vision_tower, encoded) if once else nullcontext():
            replies: dict[str, Reply] = {}
            together = [case for case in piece.cases if case.key in quick and is_blind(built)]
            if shared is not None and together:
                replies |= {reply.case.key: reply for reply in shared.answer(together, built)}
            unshared = [case for case in piece.cases if case.key not in replies]
            if unshared:
                batch = _PLAIN if is_blind(built) else _EAGER
                replies |= {
                    reply.case.key: reply for reply in answer_plainly(subject, unshared, built, batch)
                }
        yield _line(piece, [replies[case.key] for case in piece.cases])


def _line(piece: Piece, replies: Sequence[Reply]) -> dict[str, Any]:
    built = piece.configuration.built
    chooses = built is None or not built.replaces
    by_picture = {
        reply.case.group: reply.images for reply in replies if reply.case.kind == "image" and chooses
    }
    return {
        "kind": "answers",
        "run": piece.key,
        "method": repr(built) if built is not None else FULL,
        "answers": {reply.case.key: list(reply.answers) for reply in replies},
        "schedules": {reply.case.key: reply.schedule for reply in replies},
        "bands": measure_bands([image for images in by_picture.values() for image in images]),
        "pictures": len(by_picture),
    }


def measure_bands(images: Sequence[ImageResult]) -> dict[str, list[float]] | None:
    """``kept``, the share of tokens kept to the end, and ``score``, the mean one, of each of `BANDS` bands.

    Averaged over pictures; None without any. A score is divided by its mean over the picture, so that methods
    can stand in one plot; a method without scores has zeros. Pictures of fewer tokens are left out.
    """
    kept, scores = [], []
    for image in images:
        if image.tokens < BANDS:
            continue
        band = torch.arange(image.tokens) * BANDS // image.tokens
        count = band.bincount(minlength=BANDS)
        stays = band[image.indices.cpu()].bincount(minlength=BANDS)
        kept.append(stays / count)
        errors = image.errors.float().cpu()
        total = torch.zeros(BANDS, dtype=torch.float32).index_add_(0, band, errors) / count
        scores.append(total / errors.mean().clamp_min(1e-12))
    if not kept:
        return None
    return {
        name: [round(float(x), 4) for x in torch.stack(values).mean(0)]
        for name, values in (("kept", kept), ("score", scores))
    }
