"""Trains the real eye's projector and decoder on cached features; a stopped run goes on where it was.

``python -m training.eye.train --cache FOLDER --output FOLDER --minutes 60`` begins or goes on; the encoder is
not needed. No loss looks at patches that show nothing, and none drops or merges tokens.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from apet import embedded
from apet.scenes import draw, sample_scene, seeded
from apet.scenes.objects import OBJECTS
from training.architecture import build_tokenizer
from training.eye.architecture import WIDTH, build_eye, eye_tokenizer
from training.eye.batches import SHOWN, Batches
from training.labels import IGNORE
from training.objective import MEAN, STD, Heads, answer_loss

SAVE_EVERY = 180
RATE = 1e-3
AVERAGE = 0.998
"""How much of the mean over steps each step keeps; the mean is what is shipped."""


class Eye(nn.Module):
    """What is trained: projector, decoder, and readings that only training needs."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        whole = build_eye(tokenizer, layers=0)
        whole.model.vision_tower = None
        self.model: LlavaForConditionalGeneration = whole
        self.model.model.language_model.config._attn_implementation = "packed"
        width: int = whole.lm_head.in_features
        self.heads = Heads(width, width)
        self.things = nn.Linear(width, len(OBJECTS))
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("deviation", torch.ones(WIDTH))

    def standardised(self, features: Tensor) -> Tensor:
        """Channels of mean 0 and deviation 1: raw ones differ by 27 times, and the small teach nothing."""
        scaled: Tensor = (features - self.mean) / self.deviation
        return scaled

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Answers, places, and what the patches that show something show."""
        features = self.standardised(batch["features"])
        answers, places, scores = answer_loss(self.model, self.heads, features, batch)
        visual = self.model.model.multi_modal_projector(features)
        logits = self.heads(visual) | {"thing": self.things(visual).float()}
        shown = answers.new_zeros(())
        for name in (*SHOWN, "thing"):
            wanted = batch[name] != IGNORE
            if wanted.any():
                shown = shown + F.cross_entropy(logits[name][wanted], batch[name][wanted])
        return answers + places + 0.1 * shown, {
            "answers": answers.detach(),
            "shown": shown.detach(),
            **scores,
        }


def start_from_embedded(eye: Eye, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Gives the decoder the embedded model's weights, words by name, and returns that model."""
    teacher, _ = embedded.load()
    old, new = build_tokenizer().get_vocab(), tokenizer.get_vocab()
    places = torch.tensor([new[word] for word in old])
    rows = torch.tensor(list(old.values()))
    text = eye.model.model.language_model
    state = teacher.model.language_model.state_dict()
    words = text.embed_tokens.weight.detach().clone()
    words[places] = state["embed_tokens.weight"][rows]
    text.load_state_dict(state | {"embed_tokens.weight": words})
    with torch.no_grad():
        eye.model.lm_head.weight[places] = teacher.lm_head.weight[rows]
    return teacher


def warm_up(eye: Eye, teacher: LlavaForConditionalGeneration, batches: Batches, minutes: float) -> None:
    """Fits the projector to the embedded model's view of shapes and characters, not of empty patches."""
    projector = eye.model.model.multi_modal_projector
    optimizer = torch.optim.AdamW(projector.parameters(), lr=2e-3)
    rng, begin, step = np.random.default_rng(5), time.monotonic(), 0
    while (done := (time.monotonic() - begin) / 60 / max(minutes, 1e-9)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - done) + 1e-5
        batch = batches.draw(rng, "scenes")
        pixels = [draw(sample_scene(seeded("train", int(index)))) for index in batch["index"]]
        stacked = (torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() - MEAN) / STD
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            seen = teacher.model.vision_tower(stacked, output_hidden_states=True).hidden_states[-1][:, 1:]
            wanted = teacher.model.multi_modal_projector(seen).float()
        full = batch["colour"] != IGNORE
        given = projector(eye.standardised(batch["features"]))
        loss = (given - wanted)[full].square().mean() / wanted[full].var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"warm-up {done:.0%}: unexplained {float(loss):.3f}", flush=True)


def optimizers(eye: Eye) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the rest."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in eye.named_parameters():
        inner = ".layers." in name or "multi_modal_projector" in name
        (matrices if inner and parameter.ndim == 2 else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01),
    ]


class Run:
    """A training that can be stopped at any time: weights, their mean, optimisers, and what was used."""

    def __init__(self, eye: Eye, file: Path) -> None:
        self.eye, self.file = eye, file
        self.optimizers = optimizers(eye)
        self.used: dict[str, float] = {"steps": 0, "pictures": 0, "minutes": 0.0}
        self.mean = {name: value.clone() for name, value in eye.state_dict().items()}

    def load(self) -> None:
        """Takes up the state in the file."""
        saved = torch.load(self.file, weights_only=True)
        self.eye.load_state_dict(saved["eye"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.used, self.mean = saved["used"], saved["mean"]

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        part = self.file.with_suffix(".part")
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        held: dict[str, Any] = {"eye": self.eye.state_dict(), "optimizers": states}
        torch.save(held | {"used": self.used, "mean": self.mean}, part)
        os.replace(part, self.file)

    def step(self, batch: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        """One step at a share of the full rate; returns the scores."""
        with torch.autocast("cpu", torch.bfloat16):
            loss, scores = self.eye.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.eye.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = RATE * share
            optimizer.step()
            optimizer.zero_grad()
        self.used["steps"] += 1
        self.used["pictures"] += len(batch["features"])
        keep = min(AVERAGE, self.used["steps"] / (self.used["steps"] + 10))
        for name, value in self.eye.state_dict().items():
            self.mean[name].lerp_(value, 1 - keep)
        return {"loss": loss.detach(), **scores}

    def go(self, batches: Batches, minutes: float, cool: float) -> None:
        """Trains for some minutes, in the last ``cool`` of which the rate falls to nothing."""
        begin = before = saved = time.monotonic()
        rng, scores = np.random.default_rng(1000 + int(self.used["steps"])), dict[str, float]()
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
        while not stopped and (left := minutes - (time.monotonic() - begin) / 60) > 0:
            share = min(1.0, (self.used["steps"] + 1) / 100, left / cool if cool else 1.0)
            told = self.step(batches.draw(rng), share)
            now = time.monotonic()
            self.used["minutes"] += (now - before) / 60
            before = now
            for name, value in told.items():
                if value.isnan():  # no question of this batch asks for it
                    continue
                scores[name] = 0.97 * scores.get(name, float(value)) + 0.03 * float(value)
            if self.used["steps"] % 50 == 0:
                line = " ".join(f"{name} {value:.3f}" for name, value in scores.items())
                print(f"{self.used['minutes']:.1f} min, step {self.used['steps']:.0f}: {line}", flush=True)
            if now - saved > SAVE_EVERY:
                self.save()
                batches.look()
                saved = now
        self.save()


def main() -> None:
    """Begins or goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder that training.eye.features wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=8, help="minutes, of a run that begins")
    parser.add_argument(
        "--cool", type=float, default=0, help="last minutes, in which the rate falls to nothing"
    )
    parser.add_argument("--pictures", type=int, default=8, help="in a batch")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    tokenizer = eye_tokenizer()
    eye, batches = Eye(tokenizer), Batches(options.cache, tokenizer, options.pictures, 24)
    for layer in eye.model.model.language_model.layers:
        layer.compile()
    file = options.output / "state.pt"
    if file.exists():
        run = Run(eye, file)
        run.load()
    else:
        eye.mean, eye.deviation = batches.statistics()
        warm_up(eye, start_from_embedded(eye, tokenizer), batches, options.warm_up)
        run = Run(eye, file)
    run.go(batches, options.minutes, options.cool)


if __name__ == "__main__":
    main()
