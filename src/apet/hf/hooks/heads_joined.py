"""Attention of an encoder layer with all heads as one, from its queries and keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from apet.hf.state import encoding_in_progress


def drops_cls(config: Any) -> bool:
    """Whether the encoder's first token is no visual token."""
    return getattr(config, "vision_feature_select_strategy", None) == "default"


def note_joined(config: Any, module: Any) -> list[Any]:
    """Hook a layer's projections; while images are encoded, keep what each token receives, and its whole key.

    Args:
        config: The base model's config.
        module: The layer's attention.

    Returns:
        The handles.
    """
    queries: list[Tensor] = []

    def query(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if encoding_in_progress.get() is not None:
            queries[:] = [output.detach().float()]
            _finish()

    def key(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        encoding = encoding_in_progress.get()
        if encoding is not None:
            encoding.keys = output.detach().float()
            _finish()

    def _finish() -> None:
        """Both are there, in whatever order the layer computes them."""
        encoding = encoding_in_progress.get()
        if encoding is None or encoding.keys is None or not queries or len(queries[0]) != len(encoding.keys):
            return
        first = drops_cls(config)
        query = queries.pop()
        rated = query[:, :1] if first else query
        weights = torch.softmax(rated @ encoding.keys.mT * query.shape[-1] ** -0.5, dim=-1).mean(dim=1)
        encoding.received = weights[:, 1:] if first else weights
        encoding.keys = encoding.keys[:, 1:] if first else encoding.keys

    return [module.q_proj.register_forward_hook(query), module.k_proj.register_forward_hook(key)]
