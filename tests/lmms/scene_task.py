"""The scene benchmark as a local task of lmms-eval: pictures, questions, and how they are scored."""

from __future__ import annotations

import json
from pathlib import Path

from apet.evaluation import draw_cases

YAML = """
task: apet_scenes
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function scene_utils.to_visual
doc_to_text: !function scene_utils.to_text
doc_to_target: "answer"
generation_kwargs:
  max_new_tokens: 12
  do_sample: false
process_results: !function scene_utils.score
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 0.0
"""

UTILS = """
from PIL import Image

from apet.evaluation.tasks import same_answer


def to_visual(doc):
    return [Image.open(doc["picture"]).convert("RGB")]


def to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def score(doc, results):
    return {"right": float(same_answer(results[0], doc["answer"]))}
"""


def write_task(folder: Path, tasks: list[str], limit: int) -> None:
    """Writes the task; its questions are those of ``apet eval --tasks .. --limit ..``."""
    lines = []
    for number, case in enumerate(draw_cases(tasks, limit)):
        path = folder / f"{number}.png"
        case.pictures()[0].save(path)
        lines.append({"picture": str(path), "question": case.turns[0], "answer": case.answers[0]})
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "apet_scenes.yaml").write_text(YAML.format(data=data))
    (folder / "scene_utils.py").write_text(UTILS)
