"""Time in a model's vision encoder."""

from __future__ import annotations

from typing import Any

import torch

from apet.app.command import typed
from apet.core.errors import ApETError
from apet.hf.clock import Clock

_ENCODERS = ("vision_tower", "visual", "vision_model", "video_tower", "image_tower")


class Watch:
    """Times the vision encoder of a model, by hooks."""

    def __init__(self, model: Any, device: torch.device) -> None:
        base = model.base_model
        self.modules = [found for name in _ENCODERS if (found := getattr(base, name, None)) is not None]
        if not self.modules:
            raise ApETError(
                typed(otherwise="bench generate"),
                f"a {type(model).__name__}",
                "a model with a vision encoder",
            )
        self.device = device
        self.clocks: list[Clock] = []

    def __enter__(self) -> Watch:
        self.handles = []
        for module in self.modules:
            self.handles.append(module.register_forward_pre_hook(self._begin))
            self.handles.append(module.register_forward_hook(self._end))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _begin(self, *_: Any) -> None:
        self.clocks.append(Clock(self.device).__enter__())

    def _end(self, *_: Any) -> None:
        self.clocks[-1].__exit__(None, None, None)

    @property
    def seconds(self) -> float:
        """Seconds in the encoder so far."""
        return sum(clock.seconds for clock in self.clocks)
