"""``apet bench generate``: a model from pictures to answers, compressed in several ways."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from apet.app.bench.ops import without_kernels
from apet.app.bench.timing import machine, spread
from apet.app.bench.variants import Variant, variants
from apet.core.errors import ApETError
from apet.hf.clock import Clock
from apet.hf.families import family_of
from apet.hf.first_token import FirstToken
from apet.hf.results import schedule_of
from apet.hf.sessions import Session
from apet.methods import Stage2

__all__ = ["bench_generate"]

_ENCODERS = ("vision_tower", "visual", "vision_model", "video_tower", "image_tower")


class _Watch:
    """Times the vision encoder of a model, by hooks."""

    def __init__(self, model: Any, device: torch.device) -> None:
        base = model.base_model
        self.modules = [found for name in _ENCODERS if (found := getattr(base, name, None)) is not None]
        if not self.modules:
            raise ApETError("bench generate", f"a {type(model).__name__}", "a model with a vision encoder")
        self.device = device
        self.clocks: list[Clock] = []

    def __enter__(self) -> _Watch:
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
        return sum(clock.seconds for clock in self.clocks)


def bench_generate(
    model: Any,
    given: dict[str, Tensor],
    *,
    keep: int,
    stage2: Stage2 | None,
    first: int,
    repeats: int,
    new_tokens: int,
) -> dict[str, Any]:
    """Checks, then times every row; times in milliseconds.

    Args:
        model: A supported model, in evaluation mode.
        given: Inputs of ``generate`` without padding, with one picture per row.
        keep: Visual tokens of each picture.
        stage2: Second stage of the two-stage row, or None.
        first: What its first stage keeps.
        repeats: Timed runs of each row, in turns.
        new_tokens: Tokens that every run generates, at least 2.

    Returns:
        The machine, and a row per way to run: times, or why there are none.
    """
    device = given["input_ids"].device
    placeholder = _placeholder(model)
    rows: list[dict[str, Any]] = []
    alive: list[tuple[Variant, dict[str, Any], dict[str, list[float]]]] = []
    about = machine(device)
    with torch.inference_mode():
        for variant in variants(keep, stage2, first):
            row: dict[str, Any] = {"name": variant.name}
            rows.append(row)
            try:
                taken = _run(model, variant, given, placeholder, new_tokens)
                wrong = _wrong(taken, given, placeholder, variant)
                if wrong is None and device.type == "cuda" and variant.method is not None:
                    with without_kernels():
                        again = _run(model, variant, given, placeholder, new_tokens)
                    wrong = _other_choice(taken["session"], again["session"])
            except ApETError as error:
                wrong = str(error)
            if wrong:
                row["refused"] = wrong
            else:
                alive.append((variant, row, {}))
        for _ in range(repeats):
            for variant, row, times in alive:
                taken = _run(model, variant, given, placeholder, new_tokens)
                row["cache_bytes"], row["peak_bytes"] = taken["cache_bytes"], taken["peak_bytes"]
                for name, value in taken["times"].items():
                    times.setdefault(name, []).append(value)
    pictures = len(given["input_ids"])
    for _, row, times in alive:
        row |= {name: spread(values) for name, values in times.items()}
        row["images_per_second"] = 1e3 * pictures / row["total"]["median"]
    return {"machine": about, "batch": pictures, "keep": keep, "new_tokens": new_tokens, "rows": rows}


def _placeholder(model: nn.Module) -> int:
    """Id of the token that stands for a visual token."""
    config: Any = model.config
    modality = family_of(model, "bench generate").modalities[0]
    found = getattr(config, modality.placeholder, None)
    return int(config.image_token_index if found is None else found)


def _run(
    model: Any, variant: Variant, given: dict[str, Tensor], placeholder: int, new_tokens: int
) -> dict[str, Any]:
    """One run, its times in milliseconds and what it left in the cache."""
    device = given["input_ids"].device
    clock = FirstToken()
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False}
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    with variant.applied(model) as session, _Watch(model, device) as watch:
        begin = time.perf_counter()
        if variant.oracle:
            pixels = {k: v for k, v in given.items() if k not in ("input_ids", "attention_mask")}
            model.base_model.get_image_features(**pixels)
        out = model.generate(
            **variant.inputs(model, given, placeholder),
            **options,
            streamer=clock,
            return_dict_in_generate=True,
        )
        total = time.perf_counter() - begin
    select = 0.0 if session is None else session.seconds
    first = clock.at - begin
    lengths = [int(layer.keys.shape[-2]) for layer in out.past_key_values.layers]
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers)
    return {
        "session": session,
        "lengths": lengths,
        "cache_bytes": held,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "times": {
            "first_token": 1e3 * first,
            "vision": 1e3 * watch.seconds,
            "selection": 1e3 * select,
            "prefill": 1e3 * (first - watch.seconds - select),
            "decode": 1e3 * (total - first) / (new_tokens - 1),
            "total": 1e3 * total,
        },
        "new": new_tokens,
    }


def _wrong(taken: dict[str, Any], given: dict[str, Tensor], placeholder: int, variant: Variant) -> str | None:
    """Why a run is not what its row says; None if it is.

    The KV cache must have, in every layer, the text and the visual tokens that the row promises.
    """
    ids = given["input_ids"]
    visual = int((ids[0] == placeholder).sum())
    text = ids.shape[1] - visual + taken["new"] - 1
    count = len(taken["lengths"])
    session = taken["session"]
    if session is None:
        expected = [text + (variant.oracle or visual)] * count
    else:
        images = [image for image in session.images if image.row == 0]
        expected = [0] * count
        for layer, kept in schedule_of(images, session.method):
            expected[layer:] = [text + kept] * (count - layer)
        for image in images:
            first = image.stage1
            if first is not None and not bool((first.indices[1:] > first.indices[:-1]).all()):
                return "kept tokens out of order"
    if taken["lengths"] != expected:
        return f"KV cache of lengths {sorted(set(taken['lengths']))}, expected {sorted(set(expected))}"
    return None


def _other_choice(ours: Session, core: Session) -> str | None:
    """Whether the kernels kept other tokens than the core."""
    for image, expected in zip(ours.images, core.images, strict=True):
        if not torch.equal(image.indices, expected.indices):
            return "the kernels and the core keep different tokens"
    return None
