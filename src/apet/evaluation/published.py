"""Figures that papers publish, to set beside one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apet.evaluation.configurations import FULL, Stages

Budget = int | float | str
"""A column of a table: a count, a share, or ``"full"``."""


@dataclass(frozen=True)
class Published:
    """One table of a paper, and the runs that come closest to it here.

    Attributes:
        title: What the table shows.
        source: Where its means come from.
        model: The checkpoint that they are about, in transformers' form.
        known: Its name among those that ``apet plan`` knows without a connection.
        tasks: Names of benchmarks, those with fewest questions first.
        method: The method that is run here, as ``apet eval --methods`` takes it: the authors' variant.
        runs: Budget and stages of the run that comes closest to a column, by the column's own budget.
        retention: Mean retention in percent, by method and budget.
        notes: What is not the same.
        figures: What benchmarks gave under the method and without it, by budget and benchmark.
        figures_source: Where these come from.
        prompts: How pictures and conversations were put to the model, as arguments of lmms-eval's ``apet``.
        lengths: Most tokens of an answer, by benchmark; 128 for the others.
    """

    title: str
    source: str
    model: str
    known: str
    tasks: tuple[str, ...]
    method: str
    runs: Mapping[Budget, tuple[int | float, Stages]]
    retention: Mapping[str, Mapping[Budget, float]]
    notes: tuple[str, ...]
    figures: Mapping[Budget, Mapping[str, float]] = field(default_factory=dict)
    figures_source: str | None = None
    prompts: Mapping[str, Any] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The method's row in the table."""
        return self.method.partition(":")[0]


def _figures(*values: float | None) -> dict[str, float]:
    """Figures in the order in which tables have their columns, as far as they are known."""
    names = ("gqa", "mmbench", "mmbench_cn", "mme", "pope", "scienceqa", "textvqa")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


_START = "The authors' code starts farthest point sampling at a random token, so its figures vary by run."
_SERVER = (
    "MMBench is scored by rules here and by its server there; POPE is the mean F1 of its three parts. "
    "Prompts, lengths of answers and one question at a time are those of the authors' scripts."
)

PUBLISHED: dict[str, Published] = {
    "paper-table-llava-1.5": Published(
        title="LLaVA-1.5-7B at 192, 128 and 64 of 576 tokens",
        source="ApET, arXiv 2602.19870",
        model="llava-hf/llava-1.5-7b-hf",
        known="llava-1.5-7b",
        tasks=("scienceqa", "mme", "vizwiz", "mmbench", "mmbench_cn", "textvqa", "pope", "gqa", "vqav2"),
        method="apet:positions=contiguous:slots=overwrite",
        runs={keep: (keep, "paper") for keep in (192, 128, 64)},
        retention={
            "apet": {192: 98.0, 128: 97.1, 64: 95.2},
            "visionzip": {192: 97.8, 128: 96.2, 64: 92.7},
            "pyramiddrop": {192: 97.2, 128: 96.2, 64: 86.6},
            "sparsevlm": {192: 96.1, 128: 93.7, 64: 87.2},
            "fastv": {192: 90.4, 128: 85.4, 64: 76.7},
        },
        notes=(
            "The published mean is over these nine benchmarks. VQAv2 and VizWiz are answered on their "
            "validation sets here, on test servers there.",
            _SERVER,
            "The runs are ApET.authors('llava-1.5'): 288, 192 and 96 tokens up to layer 16, a third of that "
            "behind. Pictures are padded to a square, and the conversation is vicuna_v1.",
            _START,
        ),
        figures={
            FULL: _figures(61.9, 64.7, 58.1, 1862, 85.9, 69.5, 58.2),
            192: _figures(60.2, 63.4, 57.9, 1808, 86.3, 68.5, 54.4),
            128: _figures(58.9, 62.3, 56.4, 1801, 86.1, 68.7, 53.9),
            64: _figures(56.9, 61.2, 54.4, 1714, 84.4, 68.9, None),
        },
        figures_source=(
            "ApET's rows as table 1 of ProViP cites them (Not All Attention Heads Contribute to Critical "
            "Visual Token Selection, 2026); of VQAv2 and VizWiz no source was found, and of TextVQA at 64 "
            "tokens two that differ (53.0 there, 53.9 in SinkPruner's table 1)"
        ),
        prompts={"pad": True, "conversation": "vicuna_v1"},
        lengths=dict.fromkeys(("mmbench", "mmbench_cn", "scienceqa"), 1024),
    ),
    "paper-table-qwen2.5-vl": Published(
        title="Qwen2.5-VL-7B at 20% of the tokens",
        source="ApET, arXiv 2602.19870",
        model="Qwen/Qwen2.5-VL-7B-Instruct",
        known="qwen2.5-vl-7b",
        tasks=("scienceqa", "mme", "mmbench", "pope", "gqa"),
        method="apet:slots=blend:inner_ridge=0.1",
        runs={0.2: (0.3, "off")},
        retention={"apet": {0.2: 93.3}, "pyramiddrop": {0.2: 90.3}, "sparsevlm": {0.2: 89.8}},
        notes=(
            "These are the benchmarks for which the authors publish scripts.",
            _SERVER,
            "The run is ApET.authors('qwen2.5-vl'): 30% of the tokens in all layers, since the second stage, "
            "which would make it 20% on average, is commented out in the authors' code.",
            _START,
        ),
        prompts={"min_pixels": 256 * 28 * 28, "max_pixels": 2048 * 28 * 28},
    ),
}
"""Tables by the name that ``apet reproduce`` takes."""
