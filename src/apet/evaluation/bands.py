"""Where in the sequence of visual tokens a method keeps, and scores, tokens: shows positional bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from apet.hf.results import ImageResult

BANDS = 24
"""Equal parts of the token sequence; of a 24 x 24 grid in raster order they are the rows."""


def measure_bands(images: Sequence[ImageResult]) -> dict[str, list[float]] | None:
    """Share of tokens kept to the end, and mean score, of each band, averaged over pictures.

    A score is divided by its mean over the picture, so that methods can stand in one plot; a method without
    scores has zeros. Pictures of fewer than `BANDS` tokens are left out.

    Args:
        images: What the session told about different pictures.

    Returns:
        ``kept`` and ``score``, each `BANDS` numbers; None without pictures.
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
