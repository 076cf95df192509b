"""Positions on every pipeline stage: the first one writes them, and sends them along."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_POSITIONS = "apet_positions"


class Stages:
    """Mixed into a family's model. What is sent between stages also has the positions ``(T, 3)``."""

    apet_own: bool
    apet_axes: int
    apet_stages = 1

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]
        self.apet_stages = vllm_config.parallel_config.pipeline_parallel_size
        inner = getattr(self, "make_empty_intermediate_tensors", None)

        def make_empty(batch_size: int, dtype: torch.dtype, device: torch.device) -> Any:
            tensors = inner(batch_size, dtype, device)  # type: ignore[misc]
            if self.apet_own:
                tensors[_POSITIONS] = torch.zeros((batch_size, 3), dtype=torch.int64, device=device)
            return tensors

        if self.apet_stages > 1:
            self.make_empty_intermediate_tensors = make_empty

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **more: Any,
    ) -> Any:
        """Runs a stage, with positions of as many axes as the language model takes."""
        if not self.apet_own:
            return super().forward(  # type: ignore[misc]
                input_ids, positions, intermediate_tensors, inputs_embeds, **more
            )
        if intermediate_tensors is not None:
            tensors = dict(intermediate_tensors.items())
            positions = tensors.pop(_POSITIONS).T.contiguous()  # kernels read them as they lie
            intermediate_tensors = type(intermediate_tensors)(tensors)
        model_positions = positions[0] if self.apet_axes == 1 else positions
        out = super().forward(  # type: ignore[misc]
            input_ids, model_positions, intermediate_tensors, inputs_embeds, **more
        )
        if not isinstance(out, Tensor) and hasattr(out, "tensors"):
            out[_POSITIONS] = positions.T.contiguous()
        return out
