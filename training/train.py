"""Trains the embedded model from nothing: ``python -m training.train --recipe cpu --output FOLDER``."""

from __future__ import annotations

import argparse
import json
import platform
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from training.architecture import build_model, build_tokenizer, save
from training.data import BatchShape, Scenes
from training.objective import Heads, answer_loss, dense_loss, see, unlikeness


@dataclass(frozen=True)
class Stage:
    """One part of a recipe. It ends after ``minutes`` or ``steps``, whichever comes first."""

    name: str
    shape: BatchShape
    minutes: float
    steps: int
    rate: float
    final: float
    eye: bool
    decoder: bool
    alike: float = 0.0
    """Weight of how unlike each other the features of empty patches are."""
    places: float = 0.0
    """Weight of the places of the shapes that questions name, and of the gaps between two."""
    resting: int = 0
    """Lowest decoder layers that are not trained, and with them what comes before."""
    skills: dict[str, float] | None = None
    """How often each skill is asked for; all alike if None."""


HARD = {"exist": 1.0, "colour": 0.6, "shape": 0.6, "count": 1.8, "where": 0.6, "relation": 3.2, "read": 1.2}
"""More of what is learnt slowly."""
RELATE = {**HARD, "count": 1.0, "relation": 6.0}
REFINE: dict[str, Any] = {"alike": 0.5, "places": 1.0, "skills": HARD}


RECIPES: dict[str, tuple[Stage, ...]] = {
    "cpu": (
        Stage("eye", BatchShape(32, 12, 0), 22, 10**9, 1.0, 0.5, eye=True, decoder=False),
        Stage("bind", BatchShape(32, 12, 20), 18, 10**9, 1.0, 1.0, eye=False, decoder=True),
        Stage("join", BatchShape(32, 12, 20), 26, 10**9, 1.0, 0.5, eye=True, decoder=True),
        Stage("whole", BatchShape(8, 24, 32), 34, 10**9, 0.5, 0.0, eye=True, decoder=True),
        Stage("refine", BatchShape(32, 12, 20), 60, 10**9, 0.7, 0.5, eye=True, decoder=True, **REFINE),
        Stage("finish", BatchShape(8, 24, 32), 43, 10**9, 0.6, 0.0, eye=True, decoder=True, **REFINE),
        Stage(
            "relate",
            BatchShape(8, 12, 20),
            12,
            10**9,
            0.5,
            0.3,
            eye=False,
            decoder=True,
            resting=4,
            **(REFINE | {"places": 3.0, "skills": RELATE}),
        ),
        Stage(
            "last",
            BatchShape(8, 24, 32),
            20,
            10**9,
            0.4,
            0.0,
            eye=False,
            decoder=True,
            resting=4,
            **(REFINE | {"places": 3.0}),
        ),
    ),
    "gpu": (
        Stage("eye", BatchShape(256, 12, 0), 60, 4000, 1.0, 0.5, eye=True, decoder=False),
        Stage("bind", BatchShape(256, 12, 20), 60, 2000, 1.0, 1.0, eye=False, decoder=True),
        Stage("join", BatchShape(256, 12, 20), 60, 4000, 1.0, 0.5, eye=True, decoder=True, **REFINE),
        Stage("whole", BatchShape(128, 24, 32), 60, 8000, 0.5, 0.0, eye=True, decoder=True, **REFINE),
    ),
    "smoke": (
        Stage("eye", BatchShape(2, 4, 0), 1, 2, 1.0, 0.5, eye=True, decoder=False),
        Stage("bind", BatchShape(2, 6, 4), 1, 2, 1.0, 1.0, eye=False, decoder=True),
        Stage("whole", BatchShape(1, 24, 4), 1, 2, 0.5, 0.0, eye=True, decoder=True, **REFINE),
    ),
}
"""``cpu`` takes four hours on two cores; ``gpu`` is the same in fewer stages; ``smoke`` proves that it
runs."""


def optimizers(
    model: LlavaForConditionalGeneration, heads: Heads, rate: float
) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the layers' matrices, AdamW for the rest, each with its full learning rate."""
    matrices: list[nn.Parameter] = []
    rest = list(heads.parameters())
    for name, parameter in model.named_parameters():
        inner = ".layers." in name or "multi_modal_projector" in name
        (matrices if inner and parameter.ndim == 2 else rest).append(parameter)
    muon = torch.optim.Muon(
        [p for p in matrices if p.requires_grad], lr=2e-3, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(
        [p for p in rest if p.requires_grad], lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01
    )
    return [(muon, 2e-3 * rate), (adam, 2e-3 * rate)]


def freeze(model: LlavaForConditionalGeneration, stage: Stage) -> None:
    """Lets gradients flow only into what the stage trains."""
    for name, parameter in model.named_parameters():
        trained = stage.eye if "vision_tower" in name else stage.decoder
        if stage.resting and "vision_tower" not in name:
            number = re.search(r"language_model\.layers\.(\d+)\.", name)
            below = "embed_tokens" in name or "multi_modal_projector" in name
            trained &= not below and (number is None or int(number[1]) >= stage.resting)
        parameter.requires_grad_(trained)
        parameter.grad = None


def losses(
    model: LlavaForConditionalGeneration, heads: Heads, stage: Stage, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The stage's loss and scores on a batch."""
    features = see(model, batch["pixels"], batch["patches"])
    loss, scores = features.new_zeros((), dtype=torch.float32), dict[str, Tensor]()
    if stage.eye:
        loss, scores = dense_loss(heads, features, batch)
        loss = loss * (0.25 if stage.decoder else 1.0)
        unlike = unlikeness(features, batch["kind"])
        loss, scores = loss + stage.alike * unlike, scores | {"unlike": unlike.detach()}
    if stage.decoder:
        answers, places, more = answer_loss(model, heads, features, batch)
        loss, scores = loss + answers + stage.places * places, scores | more
    return loss, scores


def run_stage(
    model: LlavaForConditionalGeneration,
    heads: Heads,
    stage: Stage,
    tokenizer: PreTrainedTokenizerFast,
    *,
    device: torch.device,
    workers: int,
    first: int,
) -> dict[str, Any]:
    """Trains one stage on pictures from number ``first`` on; returns what it used and its last scores."""
    freeze(model, stage)
    pairs = optimizers(model, heads, stage.rate)
    loader = DataLoader(
        Scenes(stage.shape, tokenizer, first=first, skills=stage.skills),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
    )
    begin, step, mean = time.monotonic(), 0, dict[str, float]()
    for batch in loader:
        minutes = (time.monotonic() - begin) / 60
        if step >= stage.steps or minutes >= stage.minutes:
            break
        done = max(step / stage.steps, minutes / stage.minutes)
        share = min(1.0, (step + 1) / 100) * (1 + (stage.final / stage.rate - 1) * done)
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}  # noqa: PLW2901
        with torch.autocast(device.type, torch.bfloat16):
            loss, scores = losses(model, heads, stage, batch)
        loss.backward()
        nn.utils.clip_grad_norm_([p for o, _ in pairs for g in o.param_groups for p in g["params"]], 1.0)
        for optimizer, rate in pairs:
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        if step % 20 == 0:
            for name, value in {"loss": loss.detach(), **scores}.items():
                mean[name] = 0.8 * mean.get(name, float(value)) + 0.2 * float(value)
        if step % 100 == 0 or step == stage.steps:
            speed = step * stage.shape.pictures / (time.monotonic() - begin)
            told = " ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"{stage.name} {minutes:.1f} min, step {step}, {speed:.0f} pictures/s: {told}", flush=True)
    return {
        "steps": step,
        "pictures": step * stage.shape.pictures,
        "minutes": (time.monotonic() - begin) / 60,
        "scores": mean,
    }


def main() -> None:
    """Runs a recipe and writes the checkpoint after every stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="cpu")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every stage's minutes")
    parser.add_argument("--start", default=None, help="first stage to run, on the checkpoint in --output")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    parser.add_argument("--compile", action="store_true", help="fuse the layers with torch.compile")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = build_tokenizer()
    model: Any = build_model(tokenizer)
    heads = Heads(model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
    state = options.output / "training_state.pt"
    stages = RECIPES[options.recipe]
    record: list[dict[str, Any]] = []
    if options.start:
        stages = stages[[s.name for s in stages].index(options.start) :]
        if state.exists():
            saved = torch.load(state, weights_only=True)
            model.load_state_dict(saved["model"])
            heads.load_state_dict(saved["heads"])
        else:  # a published checkpoint: without the heads, which are quickly learnt again
            model = LlavaForConditionalGeneration.from_pretrained(options.output, dtype=torch.float32)
        record = json.loads((options.output / "training.json").read_text())["stages"]
    model.to(device)
    heads.to(device)
    for part in (model.model.vision_tower, model.model.language_model):
        part.config._attn_implementation = "packed"
    if options.compile:
        for layer in (*model.model.vision_tower.encoder.layers, *model.model.language_model.layers):
            layer.compile()
    first = sum(r["pictures"] for r in record)
    for stage in stages:
        timed = replace(stage, minutes=stage.minutes * options.scale)
        used = run_stage(model, heads, timed, tokenizer, device=device, workers=options.workers, first=first)
        first += used["pictures"]
        record.append({**asdict(timed), **used})
        options.output.mkdir(parents=True, exist_ok=True)
        torch.save({"model": model.state_dict(), "heads": heads.state_dict()}, state)
        hardware = (
            torch.cuda.get_device_name()
            if device.type == "cuda"
            else platform.processor() or platform.machine()
        )
        summary = {
            "recipe": options.recipe,
            "hardware": hardware,
            "torch": torch.__version__,
            "stages": record,
        }
        (options.output / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    for part in (model.model.vision_tower, model.model.language_model):
        part.config._attn_implementation = None
    save(model.to("cpu", torch.float16), tokenizer, options.output)


if __name__ == "__main__":
    main()
