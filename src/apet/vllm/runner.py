"""What vLLM's runners know and do not tell: where a chunk's images lie, and how many to encode at once.

Both runners hand a chunk's features to the model without saying which tokens they belong to. A token's id
does not tell either: a user may write a placeholder's name. And both encode as many images at once as the
kept tokens allow, while a request may keep far fewer than the server was started for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from apet.vllm.parts import WEIGHT

_FLAG = "is_multimodal_pruning_enabled"


def patch_runners(most: int) -> None:
    """Has the runners of this process tell models under compression what they need. May be repeated.

    Args:
        most: Tokens, as the server's own budget keeps them, of the images that are encoded at once.
    """
    from vllm.platforms import current_platform
    from vllm.v1.worker import gpu_model_runner
    from vllm.v1.worker.gpu.mm import encoder_runner
    from vllm.v1.worker.gpu.model_states.mm_pruning import MultiModalPruner

    _wrap(gpu_model_runner.GPUModelRunner, "_gather_mm_embeddings", _telling_all)
    _wrap(MultiModalPruner, "_num_window_embeds", _telling_one)
    for module in (gpu_model_runner, encoder_runner):
        _wrap(module, "group_and_batch_mm_kwargs", _batching)
        module.group_and_batch_mm_kwargs.apet_most = most
    if current_platform.is_cpu():
        _ask_on_cpu()


def _wrap(owner: Any, name: str, around: Callable[[Any], Any]) -> None:
    inner = getattr(owner, name)
    if not hasattr(inner, "apet_most"):
        outer: Any = functools.wraps(inner)(around(inner))
        outer.apet_most = None
        setattr(owner, name, outer)


def _telling_all(inner: Any) -> Any:
    """The first runner asks for the positions of every request of a step in turn."""

    def gather(runner: Any, scheduled: Any, shift_computed_tokens: int = 0) -> Any:
        model = runner.get_model()
        if getattr(model, "apet_own", False):
            model.apet_windows = _windows(runner, scheduled, shift_computed_tokens)
        return inner(runner, scheduled, shift_computed_tokens)

    return gather


def _windows(runner: Any, scheduled: Any, shift: int) -> Iterator[tuple[list[Any], int, int]]:
    for name in runner.input_batch.req_ids:
        start = runner.requests[name].num_computed_tokens + shift
        yield runner.requests[name].mm_features, start, start + scheduled.num_scheduled_tokens[name]


def _telling_one(inner: Any) -> Any:
    """The second runner counts a request's images right before it asks for their positions."""

    def count(pruner: Any, req_id: str, query_start: int, query_end: int) -> Any:
        if getattr(pruner.model, "apet_own", False):
            window = (pruner.encoder_cache.mm_features[req_id], query_start, query_end)
            pruner.model.apet_windows = iter([window])
        return inner(pruner, req_id, query_start, query_end)

    return count


def _batching(inner: Any) -> Any:
    def group(items: Any, **options: Any) -> Iterator[Any]:
        for batch in in_batches(items, group.apet_most):  # type: ignore[attr-defined]
            yield from inner(batch, **options)

    return group


def in_batches(items: list[tuple[str, Any]], most: int) -> Iterator[list[tuple[str, Any]]]:
    """Images and videos in batches that the encoder was measured for.

    Args:
        items: Modality and fields of each.
        most: What a batch weighs at most, if it is more than one item: an item weighs as many tokens as the
            server's own budget would keep of it.
    """
    batch: list[tuple[str, Any]] = []
    total = 0
    for modality, item in items:
        weight = int(item[WEIGHT].data) if WEIGHT in item else 0
        if batch and total + weight > most:
            yield batch
            batch, total = [], 0
        batch.append((modality, item))
        total += weight
    if batch:
        yield batch


def _ask_on_cpu() -> None:
    """Lets the CPU runner answer as the GPU runner does, whether features carry positions.

    The GPU runner sets its flag when it has loaded the model; the CPU runner has a loader of its own that
    does not. A property of its class answers instead, whenever it is set.
    """
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    if isinstance(CPUModelRunner.__dict__.get(_FLAG), property):
        return

    def get(runner: Any) -> bool:
        return bool(getattr(getattr(runner, "model", None), _FLAG, False))

    def put(runner: Any, value: bool) -> None:
        """The model's answer holds, whatever the runner starts with."""

    setattr(CPUModelRunner, _FLAG, property(get, put))
