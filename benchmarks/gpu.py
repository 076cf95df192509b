"""Everything that `apet bench` times, on one GPU, with random weights in the models' true shapes.

    python benchmarks/gpu.py [--models llava,qwen2_5_vl,qwen3_vl] [--batches 1,8,32] [--output results.json]

Speed does not depend on the weights, so none are downloaded: models are built on the device from the
configurations below. A row whose check fails has no times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from apet.app.bench.generate import bench_generate
from apet.app.bench.ops import bench_ops, describe, parse_sizes
from apet.app.bench.show import print_generate, refused, save_report
from apet.methods import Stage2

SIZES = (
    "1x576x4096x64,32x576x4096x64,1x2880x4096x320,1x16384x3584x3277,1x65536x3584x6554,"
    "1x576x1024x96,1x1296x3584x259"
)
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
VICUNA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32064,
    "max_position_embeddings": 8192,
}
LLAVA = {
    "model_type": "llava",
    "vision_config": CLIP,
    "text_config": VICUNA,
    "image_token_index": 32000,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
}
QWEN = {
    "model_type": "qwen2_5_vl",
    "vision_config": {"hidden_size": 1280, "out_hidden_size": 3584},
    "text_config": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
}
QWEN3 = {
    "model_type": "qwen3_vl",
    "vision_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "depth": 27,
        "out_hidden_size": 4096,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "text_config": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
}
MODELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "llava": (LLAVA, 64, 24),
    "qwen2_5_vl": (QWEN, 144, 36),
    "qwen2_5_vl_large": (QWEN, 455, 64),
    "qwen3_vl": (QWEN3, 144, 36),
}
"""Configuration, visual tokens to keep (a ninth), and visual tokens along a side of the picture."""


def build(config: dict[str, Any], device: str = "cuda", dtype: torch.dtype = torch.bfloat16) -> Any:
    """A model of random weights, made on the device."""
    settings = dict(config)
    made = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(made, dtype=dtype, attn_implementation="sdpa")
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


def inputs(model: Any, batch: int, words: int = 64, side: int = 36) -> dict[str, torch.Tensor]:
    """One noise picture and so many words per row."""
    config, device, dtype = model.config, model.device, model.dtype
    vision = config.vision_config
    given: dict[str, torch.Tensor] = {}
    if config.model_type == "llava":
        tokens, placeholder = (vision.image_size // vision.patch_size) ** 2, config.image_token_index
        pixels = (batch, 3, vision.image_size, vision.image_size)
    else:
        tokens, placeholder = side * side, config.image_token_id
        patches = side * vision.spatial_merge_size
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        pixels = (batch * patches * patches, values)
        given["image_grid_thw"] = torch.tensor([[1, patches, patches]] * batch, device=device)
    text = torch.randint(1, 50, (batch, words), device=device)
    image = torch.full((batch, tokens), placeholder, device=device)
    ids = torch.cat((text[:, :1], image, text[:, 1:]), dim=1)
    if config.model_type != "llava":
        given["mm_token_type_ids"] = (ids == placeholder).int()
    given["pixel_values"] = torch.randn(pixels, device=device, dtype=dtype)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **given}


def main() -> int:
    """Runs all; the exit code is 1 if any row has no times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA GPU")
    results: dict[str, Any] = {}
    for dtype in (torch.bfloat16, torch.float32):
        report = bench_ops(parse_sizes(SIZES), options.repeats, torch.device("cuda"), dtype)
        results[f"ops, {report['machine']['dtype']}"] = report
        print(report["machine"], *map(describe, report["rows"]), sep="\n", flush=True)
    for name in options.models.split(","):
        config, keep, side = MODELS[name]
        model = build(config)
        layers = model.config.get_text_config().num_hidden_layers
        for batch in map(int, options.batches.split(",")):
            report = bench_generate(
                model,
                inputs(model, batch, side=side),
                keep=keep,
                stage2=Stage2(layers // 2, keep // 2),
                first=keep * 3 // 2,
                repeats=options.repeats,
                new_tokens=64,
            )
            results[f"{name}, batch {batch}"] = report
            print(f"\n{name}, batch {batch}")
            print_generate(report)
        del model
        torch.cuda.empty_cache()
    save_report(results, options.output)
    return int(any(refused(report) for report in results.values()))


if __name__ == "__main__":
    sys.exit(main())
