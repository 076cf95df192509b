"""The project's own models: small LLaVAs that answer about drawn scenes.

The embedded model is shipped whole: an ordinary transformers checkpoint of 336 x 336 pictures and 576 visual
tokens; ``PATH`` is its folder. The real eye, ``"dinov2"``, sees through DINOv2-small as Meta trained it; see
`apet.embedded.reference`. What they were trained on and how well they answer stand in their model cards,
``README.md`` in their folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

__all__ = ["PATH", "SERVER_TEMPLATE", "load"]

PATH = Path(__file__).parent / "checkpoint"
"""Folder of the embedded model's checkpoint, for ``from_pretrained``."""
SERVER_TEMPLATE = Path(__file__).parent / "server.jinja"
"""The checkpoint's chat template for servers, which add no first token by themselves."""


def load(path: Path | str = PATH) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Loads a model of the project in float32 on the CPU, and its processor; no network is used.

    Args:
        path: ``"dinov2"`` for the real eye, or the folder of another training's result; the embedded model if
            not given.

    Raises:
        ApETError: If the real eye's encoder was not fetched yet.

    Examples:
        >>> import apet
        >>> model, processor = apet.embedded.load()
        >>> model.config.model_type, model.config.text_config.num_hidden_layers
        ('llava', 8)
    """
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    from apet.embedded.reference import NAME, locate

    folder = locate() if path == NAME else path
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return model.eval(), AutoProcessor.from_pretrained(folder, local_files_only=True)
