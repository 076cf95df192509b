"""``apet bench generate``: a model from pictures to answers, compressed in several ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from apet.app.bench.ops import without_kernels
from apet.app.bench.steps import other_choice
from apet.app.bench.timing import median_and_range, turns, watched
from apet.app.bench.variants import Variant
from apet.core.errors import ApETError
from apet.evaluation.machine import machine
from apet.hf.arguments import cache_out
from apet.hf.choice.budgets import check_counts
from apet.hf.families import family_of
from apet.hf.families.family import Modality
from apet.hf.first_token import FirstToken
from apet.hf.results import schedule_of
from apet.methods import NoImage

_OWN = ("uncompressed", "apet", "apet, two stages", "oracle")


@dataclass(frozen=True)
class _Task:
    """What all rows are asked, and the visual tokens of a row that ApET leaves (0: not known yet)."""

    model: Any
    given: dict[str, Tensor]
    modality: Modality
    placeholder: int
    new: int
    left: int = 0

    @property
    def visual(self) -> int:
        """Visual tokens of a row, those of newlines included."""
        return int((self.given["input_ids"][0] == self.placeholder).sum())


def bench_generate(
    model: Any,
    given: dict[str, Tensor],
    *,
    keep: int,
    ways: Sequence[Variant],
    repeats: int,
    new_tokens: int,
    tell: Callable[[int, int, str], object] = lambda *_: None,
) -> dict[str, Any]:
    """Checks, then times every row; times in milliseconds.

    Args:
        model: A supported model, in evaluation mode.
        given: Inputs of ``generate`` without padding, with one picture or clip per row.
        keep: Visual tokens of each picture, tile or frame.
        ways: What is run, ApET's row before the oracle's; see `apet.app.bench.variants.variants`.
        repeats: Timed runs of each row, in turns.
        new_tokens: Tokens that every run generates, at least 2.
        tell: Is told, before every run, how many were done, how many there are, and what it is.

    Returns:
        The machine, and a row per way to run: times, or why there are none: ``"refused"`` where a check
        failed or the run broke, ``"left_out"`` where another method does not apply to the model. Where
        kernels chose other tokens than the core, ``"off"`` says so beside the times.
    """
    task = _task(model, given, new_tokens)
    finished: list[dict[str, Any]] = []
    alive: dict[str, tuple[Variant, dict[str, Any], dict[str, list[float]]]] = {}
    about = machine(given["input_ids"].device) | {
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.config._attn_implementation,
    }
    with torch.inference_mode():
        for number, variant in enumerate(ways):
            tell(number, len(ways) * (1 + repeats), f"{variant.name}, untimed")
            row: dict[str, Any] = {"name": variant.name}
            finished.append(row)
            task, notes = _checked(task, variant)
            row |= notes
            if not {"refused", "left_out"} & set(notes):
                alive[variant.name] = variant, row, {}
        every = len(ways) + len(alive) * repeats
        for number, name in enumerate(turns(dict.fromkeys(alive, repeats)), len(ways)):
            tell(number, every, name)
            variant, row, times = alive[name]
            taken = _run(task, variant)
            row |= {"cache_bytes": taken["cache_bytes"], "peak_bytes": taken["peak_bytes"]}
            for part, value in taken["times"].items():
                times.setdefault(part, []).append(value)
    tell(every, every, "")
    pictures = len(given["input_ids"])
    for _, row, times in alive.values():
        row |= {name: median_and_range(values) for name, values in times.items()}
        row["images_per_second"] = 1e3 * pictures / row["total"]["median"]
    sizes = {"batch": pictures, "visual_tokens": task.visual, "keep": keep, "kept_tokens": task.left}
    return {"machine": about, **sizes, "new_tokens": new_tokens, "rows": finished}


def _task(model: Any, given: dict[str, Tensor], new: int) -> _Task:
    modalities = [
        modality for modality in family_of(model, "bench generate").modalities if modality.pixels in given
    ]
    if not modalities:
        raise ApETError("bench generate", f"inputs {', '.join(given)}", "inputs with pictures or clips")
    name = modalities[0].placeholder
    token = getattr(model.config, name, None)
    token = getattr(model.config, name.replace("_id", "_index")) if token is None else token
    return _Task(model, given, modalities[0], int(token), new)


def _checked(task: _Task, variant: Variant) -> tuple[_Task, dict[str, str]]:
    """Runs a row once; what later rows have to know, and what is to be said of this one."""
    device = task.given["input_ids"].device
    if variant.oracle and not task.left:
        return task, {"refused": "ApET's row, which says how many tokens it gets, has no times"}
    notes: dict[str, str] = {}
    try:
        if variant.method is not None:
            check_counts(variant.method(), task.visual, "bench generate")
        taken = _run(task, variant)
        wrong = _wrong(taken, task, variant)
        if wrong is None and device.type == "cuda" and variant.method is not None:
            with without_kernels():
                again = _run(task, variant)
            if off := other_choice(taken["session"], again["session"]):
                notes["off"] = off
    except ApETError as error:
        return task, {"refused" if variant.name in _OWN else "left_out": str(error)}
    except RuntimeError as error:
        # Out of memory, or an attention kernel that does not run here: the other rows go on.
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return task, {"refused": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    if wrong is not None:
        return task, {"refused": wrong}
    if variant.name == "apet":
        images = [image for image in taken["session"].images if image.row == 0]
        dropped = sum(image.tokens - image.tokens_stage1 for image in images)
        task = replace(task, left=task.visual - dropped)
    return task, notes


def _run(task: _Task, variant: Variant) -> dict[str, Any]:
    """One run, its times in milliseconds and what it left in the cache."""
    model, given = task.model, task.given
    device = given["input_ids"].device
    clock = FirstToken()
    options = {"max_new_tokens": task.new, "min_new_tokens": task.new, "do_sample": False}
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    with variant.applied(model) as session, watched(model, device) as clocks:
        begin = time.perf_counter()
        if variant.oracle:
            text_inputs = ("input_ids", "attention_mask", "mm_token_type_ids")
            pixels = {k: v for k, v in given.items() if k not in text_inputs}
            getattr(model.base_model, task.modality.method)(**pixels)
        out = model.generate(
            **variant.inputs(model, given, task.placeholder, task.left),
            **options,
            streamer=clock,
            return_dict_in_generate=True,
        )
        total = time.perf_counter() - begin
    select = 0.0 if session is None else session.seconds
    vision = sum(one.seconds for one in clocks)
    first = clock.at - begin
    layers = cache_out(out).layers
    return {
        "session": session,
        "lengths": [int(layer.keys.shape[-2]) for layer in layers],
        "cache_bytes": sum(layer.keys.nbytes + layer.values.nbytes for layer in layers),
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "times": {
            "first_token": 1e3 * first,
            "vision": 1e3 * vision,
            "selection": 1e3 * select,
            "prefill": 1e3 * (first - vision - select),
            "decode": 1e3 * (total - first) / (task.new - 1),
            "total": 1e3 * total,
        },
    }


def _wrong(taken: dict[str, Any], task: _Task, variant: Variant) -> str | None:
    """Why a run is not what its row says; None if it is.

    The KV cache must have, in every layer, the text and the visual tokens that the row promises.
    """
    text = task.given["input_ids"].shape[1] - task.visual + task.new - 1
    count = len(taken["lengths"])
    session = taken["session"]
    if session is None:
        expected = [text + (task.left if variant.oracle else task.visual)] * count
    else:
        images = [image for image in session.images if image.row == 0]
        if not isinstance(session.method, NoImage):
            # Tokens in no image, such as newlines between rows of tiles, stay.
            text += task.visual - sum(image.tokens for image in images)
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
