"""Held-out accuracy of the embedded model, with all visual tokens and with few.

``python -m training.evaluate --pictures 200 --output FILE`` asks about pictures of the test split, which
training never drew, through the same calls that a user makes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import apet
from apet import embedded
from apet.scenes import SKILLS, Question, ask, draw, sample_scene, seeded

BUDGETS = (192, 128, 64)


def methods(layers: int, seeds: int) -> Iterator[tuple[str, list[apet.Method | None]]]:
    """Every configuration by name; several methods where a seed is averaged over."""
    yield "576 tokens, uncompressed", [None]
    randoms: list[apet.Method | None]
    for budget in BUDGETS:
        yield f"ApET, {budget} from the start", [apet.ApET(budget)]
        randoms = [apet.Random(budget, seed=s) for s in range(seeds)]
        yield f"random, {budget} from the start", randoms
    for budget in BUDGETS:
        paper = apet.ApET.paper(budget, num_layers=layers)
        first, second = paper.keep, paper.stage2.keep if paper.stage2 else 0
        where = f"{first}, then {second} from layer {layers // 2} (average {budget})"
        yield f"ApET, {where}", [paper]
        randoms = [apet.Random(first, seed=s, stage2=paper.stage2) for s in range(seeds)]
        yield f"random, {where}", randoms


def held_out(pictures: int, questions: int, split: str) -> list[tuple[Image.Image, Question]]:
    """Pictures of a split, each with up to so many questions, every skill equally often asked for."""
    pairs = []
    for index in range(pictures):
        rng = seeded(split, index)
        scene = sample_scene(rng)
        picture = Image.fromarray(draw(scene))
        pairs += [(picture, question) for question in ask(rng, scene, questions)]
    return pairs


def answers(
    model: Any,
    processor: Any,
    pairs: list[tuple[Image.Image, Question]],
    method: apet.Method | None,
    batch: int,
) -> list[str]:
    """The model's answers, in order."""
    found = []
    with apet.compressing(model, method) if method else nullcontext():
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            content = [[{"type": "image"}, {"type": "text", "text": question.text}] for _, question in part]
            prompts = [processor.apply_chat_template([{"role": "user", "content": c}]) for c in content]
            images = [picture for picture, _ in part]
            inputs = processor(images=images, text=prompts, padding=True, return_tensors="pt").to(
                model.device
            )
            output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
            texts = processor.batch_decode(
                output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
            found += [text.strip() for text in texts]
    return found


def interval(right: np.ndarray, pictures: np.ndarray, draws: int = 1000) -> tuple[float, float]:
    """A 95% bootstrap interval of the mean, drawing pictures with all their questions."""
    rng = np.random.default_rng(0)
    names, index = np.unique(pictures, return_inverse=True)
    total, count = np.bincount(index, right), np.bincount(index)
    picks = rng.integers(0, len(names), (draws, len(names)))
    low, high = np.quantile(total[picks].sum(1) / count[picks].sum(1), (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Evaluates every configuration and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--questions", type=int, default=6, help="per picture")
    parser.add_argument("--seeds", type=int, default=3, help="of random selection")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--only", default="", help="run configurations whose name holds this")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--model", type=Path, default=embedded.PATH, help="folder of a checkpoint")
    options = parser.parse_args()
    model: Any
    model, processor = embedded.load(options.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    pairs = held_out(options.pictures, options.questions, options.split)
    pictures = np.unique([id(picture) for picture, _ in pairs], return_inverse=True)[1]
    skills = np.asarray([question.skill for _, question in pairs])
    rows = []
    baseline: list[str] = []
    for name, variants in methods(model.config.text_config.num_hidden_layers, options.seeds):
        if options.only not in name:
            continue
        start, runs = time.monotonic(), []
        for method in variants:
            runs.append(answers(model, processor, pairs, method, options.batch))
        baseline = baseline or runs[0]
        right = np.asarray([[a == q.answer for a, (_, q) in zip(run, pairs, strict=True)] for run in runs])
        mean, per_seed = right.mean(0), right.mean(1)
        row: dict[str, Any] = defaultdict(dict)
        row |= {"name": name, "questions": len(pairs), "pictures": options.pictures, "seeds": len(runs)}
        row |= {"accuracy": mean.mean(), "interval": interval(mean, pictures), "per_seed": per_seed.tolist()}
        row["changed"] = float(
            np.mean([[a != b for a, b in zip(run, baseline, strict=True)] for run in runs])
        )
        for skill in SKILLS:
            asked = skills == skill
            low, high = interval(mean[asked], pictures[asked])
            row["skills"][skill] = {
                "n": int(asked.sum()),
                "accuracy": mean[asked].mean(),
                "interval": (low, high),
            }
        rows.append(row)
        parts = " ".join(f"{skill} {row['skills'][skill]['accuracy']:.3f}" for skill in SKILLS)
        low, high = row["interval"]
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{name}: {row['accuracy']:.3f} [{low:.3f}, {high:.3f}] {parts} ({took})", flush=True)
    if options.output:
        options.output.write_text(json.dumps({"split": options.split, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
