"""Writes the real eye's trained part: ``python -m training.eye.build --state FILE --output FOLDER``.

``--last`` takes the last weights instead of their mean over steps. The statistics that training divided by
are folded into the projector, so the checkpoint takes the encoder's features as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlavaProcessor

from apet.scenes import PATCH
from training.architecture import CHAT_TEMPLATE
from training.eye.architecture import build_eye, eye_tokenizer, image_processor
from training.eye.train import Eye


def trained_part(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Projector, decoder and head in float16, for features that are not standardised."""
    eye = Eye(eye_tokenizer())
    eye.load_state_dict(state)
    first = eye.model.model.multi_modal_projector.linear_1
    with torch.no_grad():
        first.weight.div_(eye.deviation)
        first.bias.sub_(first.weight @ eye.mean)
    return {name: value.half().contiguous() for name, value in eye.model.state_dict().items()}


def main() -> None:
    """Writes weights, configuration, tokenizer, processor settings and what training used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--last", action="store_true")
    options = parser.parse_args()
    saved = torch.load(options.state, weights_only=True)
    tokenizer = eye_tokenizer()
    whole = build_eye(tokenizer)
    options.output.mkdir(parents=True, exist_ok=True)
    whole.config.architectures = ["LlavaForConditionalGeneration"]
    whole.config.save_pretrained(options.output)
    settings = whole.generation_config
    settings.pad_token_id, settings.bos_token_id = tokenizer.pad_token_id, tokenizer.bos_token_id
    settings.eos_token_id, settings.max_new_tokens = tokenizer.eos_token_id, 12
    settings.save_pretrained(options.output)
    weights = trained_part(saved["eye" if options.last else "mean"])
    save_file(weights, options.output / "model.safetensors", {"format": "pt"})
    LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(options.output)
    used = json.dumps({"recipe": "eye", "torch": torch.__version__, **saved["used"]}, indent=2)
    (options.output / "training.json").write_text(used + "\n")


if __name__ == "__main__":
    main()
