"""Gemma 3 and 4 and PaliGemma: images see themselves in both directions, and layers with sliding windows."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.grids import drawn, square
from apet.hf.families.layouts import entries, laid_out


def _frames(visual: Visual) -> list[list[Tensor]]:
    """An entry per video, of so many frames as the caller says."""
    counts = torch.as_tensor(visual.arguments["num_frames_per_video"]).tolist()
    return [list(rows.chunk(count)) for (rows,), count in zip(entries(visual), counts, strict=True)]


_IMAGE_AND_VIDEO = (IMAGE, laid_out(VIDEO, _frames))

_SQUARE = (drawn(IMAGE, square(whole=True)),)

ROWS = (
    Family(
        "gemma3",
        "Gemma 3",
        ("Gemma3ForConditionalGeneration",),
        _SQUARE,
        base_masks=True,
        checkpoints=("google/gemma-3-4b-it", "google/gemma-3-27b-it"),
    ),
    # Stands in ShieldGemma2ForImageClassification, as its attribute ``model``.
    Family(
        "shieldgemma2",
        "ShieldGemma 2",
        ("Gemma3ForConditionalGeneration",),
        _SQUARE,
        base_masks=True,
        note="apply to the classifier's `model` attribute, `apet.apply(classifier.model, ..)`",
        checkpoints=("google/shieldgemma-2-4b-it",),
    ),
    Family(
        "gemma3n",
        "Gemma 3n",
        ("Gemma3nForConditionalGeneration",),
        one_stage="its hidden states have four dimensions, one prediction beside another",
        needs=("timm",),
        checkpoints=("google/gemma-3n-E4B-it",),
    ),
    Family(
        "gemma4",
        "Gemma 4",
        ("Gemma4ForConditionalGeneration",),
        _IMAGE_AND_VIDEO,
        base_masks=True,
        note="E2B and E4B share keys and values between layers: stage 1 only",
        needs=("torchvision",),
        checkpoints=("google/gemma-4-26B-A4B-it",),
    ),
    Family(
        "gemma4_unified",
        "Gemma 4 without encoders",
        ("Gemma4UnifiedForConditionalGeneration",),
        _IMAGE_AND_VIDEO,
        base_masks=True,
        needs=("torchvision",),
        checkpoints=("google/gemma-4-12B-it",),
    ),
    Family(
        "paligemma",
        "PaliGemma",
        ("PaliGemmaForConditionalGeneration",),
        _SQUARE,
        projector="multi_modal_projector",
        base_masks=True,
        note="prefill in chunks cuts the prefix that sees itself whole: other logits, as in the plain model",
        checkpoints=("google/paligemma2-3b-mix-224", "google/paligemma-3b-mix-224"),
    ),
)
