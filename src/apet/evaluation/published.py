"""Figures that papers publish, to set beside one's own."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """One table of a paper, and the runs that come closest to it here.

    Attributes:
        title: What the table shows.
        source: Where its figures come from.
        model: The checkpoint that they are about, in transformers' form.
        tasks: Tasks of lmms-eval.
        method: The method of which there are runs here.
        keeps: Its budgets: averages over the decoder layers, in two stages.
        retention: Mean retention in percent, by method and budget, as published.
        notes: What is not the same.
    """

    title: str
    source: str
    model: str
    tasks: tuple[str, ...]
    method: str
    keeps: tuple[int | float, ...]
    retention: dict[str, dict[int | float, float]]
    notes: tuple[str, ...]


_TASKS = ("gqa", "mmbench_en", "mme", "pope", "scienceqa_img", "vqav2", "textvqa", "vizwiz_vqa")
_MEAN = "The published mean is over the paper's own benchmarks and its own evaluation code; this one is over "
_START = "The authors' code starts farthest point sampling at a random token, so its figures vary by run."

PUBLISHED: dict[str, Published] = {
    "paper-table-llava-1.5": Published(
        title="LLaVA-1.5-7B at 192, 128 and 64 of 576 tokens",
        source="ApET, arXiv 2602.19870",
        model="llava-hf/llava-1.5-7b-hf",
        tasks=_TASKS,
        method="apet",
        keeps=(192, 128, 64),
        retention={
            "apet": {192: 98.0, 128: 97.1, 64: 95.2},
            "visionzip": {192: 97.8, 128: 96.2, 64: 92.7},
            "pyramiddrop": {192: 97.2, 128: 96.2, 64: 86.6},
            "sparsevlm": {192: 96.1, 128: 93.7, 64: 87.2},
            "fastv": {192: 90.4, 128: 85.4, 64: 76.7},
        },
        notes=(_MEAN + "the tasks named.", _START),
    ),
    "paper-table-qwen2.5-vl": Published(
        title="Qwen2.5-VL-7B at 20% of the tokens",
        source="ApET, arXiv 2602.19870",
        model="Qwen/Qwen2.5-VL-7B-Instruct",
        tasks=_TASKS,
        method="apet",
        keeps=(0.2,),
        retention={"apet": {0.2: 93.3}, "pyramiddrop": {0.2: 90.3}, "sparsevlm": {0.2: 89.8}},
        notes=(_MEAN + "the tasks named.", _START, "The paper's second stage is at layer 14 of 28, as here."),
    ),
}
"""Tables by the name that ``apet reproduce`` takes."""
