"""The embedded model: a small LLaVA that answers about drawn scenes, shipped inside the package.

It is an ordinary transformers checkpoint of 336 x 336 pictures and 576 visual tokens; ``PATH`` is its folder.
What it was trained on and how well it answers stand in its model card, ``README.md`` in that folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

__all__ = ["PATH", "load"]

PATH = Path(__file__).parent / "checkpoint"
"""Folder of the checkpoint, for ``from_pretrained``."""


def load(path: Path = PATH) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Loads the embedded model in float32 on the CPU, and its processor; no network is used.

    Args:
        path: Folder of the checkpoint, where another training's result is wanted.
    """
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(path, dtype=torch.float32, use_safetensors=True)
    return model.eval(), AutoProcessor.from_pretrained(path, local_files_only=True)
