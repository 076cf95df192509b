"""Features of the frozen encoder, cached: ``python -m training.eye.features --cache FOLDER``.

Writes files of 200 pictures each, ``KIND-FIRST.npy``, float16 ``(200, 576, width)``; files that are there are
kept, so a killed run goes on, and a training that runs meanwhile takes up what is finished.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from transformers import Dinov2Model

from apet.embedded.reference import encoder_folder
from training.eye.architecture import LAYER, image_processor
from training.eye.pictures import KINDS

CHUNK = 200
_BATCH = 8


def write_chunk(encoder: torch.nn.Module, kind: str, first: int, file: Path) -> None:
    """Encodes pictures ``first`` to ``first + CHUNK`` of a kind into a file."""
    show, processor = KINDS[kind].show, image_processor()
    found = []
    for start in range(first, first + CHUNK, _BATCH):
        pictures = [show(index) for index in range(start, min(start + _BATCH, first + CHUNK))]
        pixels = processor(pictures, return_tensors="pt")["pixel_values"]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            hidden = encoder(pixels, output_hidden_states=True).hidden_states[LAYER]
        found.append(hidden[:, 1:].to(torch.float16).numpy())
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.save(stream, np.concatenate(found))
    os.replace(part, file)


def main() -> None:
    """Writes what is missing, kinds by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=8000, help="in all kinds together")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoder = Dinov2Model.from_pretrained(encoder_folder(), num_hidden_layers=LAYER).eval()
    options.cache.mkdir(parents=True, exist_ok=True)
    wanted = {kind: int(one.share * options.pictures) // CHUNK for kind, one in KINDS.items()}
    for turn in range(max(wanted.values())):
        for kind, chunks in wanted.items():
            file = options.cache / f"{kind}-{turn * CHUNK:06d}.npy"
            if turn < chunks and not file.exists():
                write_chunk(encoder, kind, turn * CHUNK, file)
                print(file.name, flush=True)


if __name__ == "__main__":
    main()
