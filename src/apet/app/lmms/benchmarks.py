"""The benchmarks of published tables, as tasks of lmms-eval and the metrics that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apet.core.errors import ApETError
from apet.core.words import one_of

TASK_FOLDER = Path(__file__).parent / "tasks"
"""Folder of this package's own tasks, for ``--include_path``."""

METRICS: dict[str, tuple[str, ...]] = {
    "gqa": ("exact_match",),
    "apet_mmbench_en": ("accuracy",),
    "apet_mmbench_cn": ("accuracy",),
    "mmbench_en_dev_static": ("gpt_eval_score",),
    "mme": ("mme_perception_score", "mme_cognition_score"),
    **dict.fromkeys(("pope", "pope_adv", "pope_pop", "pope_random"), ("pope_f1_score",)),
    "scienceqa_img": ("exact_match",),
    "vqav2_val": ("exact_match",),
    "textvqa_val": ("exact_match",),
    "apet_textvqa": ("exact_match",),
    "vizwiz_vqa_val": ("exact_match",),
}
"""The metrics of a task whose sum is its score. None of them asks a judge."""


@dataclass(frozen=True)
class Measure:
    """A task of lmms-eval, and the metrics whose sum is its score."""

    task: str
    metrics: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The metrics as they are written on the command line."""
        return "+".join(self.metrics)


@dataclass(frozen=True)
class Benchmark:
    """A column of a published table, by its title there: the mean over its tasks, out of `METRICS`.

    It has about so many questions in all; ``scale`` leads from the tasks' unit to that of tables.
    """

    title: str
    tasks: tuple[str, ...]
    questions: int
    scale: float = 100

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Its tasks with their metrics."""
        return tuple(Measure(task, METRICS[task]) for task in self.tasks)

    def score(self, values: Sequence[float]) -> float:
        """Its figure in a table, from the scores of its tasks."""
        return self.scale * sum(values) / len(values)


BENCHMARKS = {
    "gqa": Benchmark("GQA", ("gqa",), 12_578),
    "mmbench": Benchmark("MMBench", ("apet_mmbench_en",), 4_329, scale=1),
    "mmbench_cn": Benchmark("MMBench-CN", ("apet_mmbench_cn",), 4_329, scale=1),
    "mme": Benchmark("MME", ("mme",), 2_374, scale=1),
    "pope": Benchmark("POPE", ("pope_adv", "pope_pop", "pope_random"), 9_000),
    "scienceqa": Benchmark("ScienceQA", ("scienceqa_img",), 2_017),
    "vqav2": Benchmark("VQAv2", ("vqav2_val",), 214_354),
    "textvqa": Benchmark("TextVQA", ("apet_textvqa",), 5_000),
    "vizwiz": Benchmark("VizWiz", ("vizwiz_vqa_val",), 4_319),
}
"""By the name that ``apet reproduce --tasks`` takes."""


def find(names: Sequence[str]) -> list[str]:
    """Names out of `BENCHMARKS`, checked."""
    for name in names:
        if name not in BENCHMARKS:
            raise ApETError("reproduce --tasks", repr(name), one_of(BENCHMARKS, name))
    return list(dict.fromkeys(names))
