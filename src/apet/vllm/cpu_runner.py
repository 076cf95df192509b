"""vLLM's runner for CPUs forgets to ask a model whether its features carry positions."""

from __future__ import annotations

from typing import Any

__all__ = ["strip_positions_on_cpu"]

_FLAG = "is_multimodal_pruning_enabled"


def strip_positions_on_cpu() -> None:
    """Lets the CPU runner answer as the GPU runner does. Does nothing elsewhere, or a second time.

    The GPU runner sets its flag when it has loaded the model; the CPU runner has a loader of its own that
    does not. A property of its class answers instead, whenever it is set.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    if isinstance(CPUModelRunner.__dict__.get(_FLAG), property):
        return

    def get(runner: Any) -> bool:
        return bool(getattr(getattr(runner, "model", None), _FLAG, False))

    def put(runner: Any, value: bool) -> None:
        """The model's answer holds, whatever the runner starts with."""

    setattr(CPUModelRunner, _FLAG, property(get, put))
