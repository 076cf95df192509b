"""Adapters on the encoder and the projector, whose token counts are not those of the prompt."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.vllm.engine import run
from tests.vllm.processing import overrides
from tests.vllm.tables import requests_of
from tests.vllm.test_engine import same

RANK = 8
WEIGHTS = {
    "qwen2_5_vl": {"visual.blocks.{}.attn.proj": (64, 64), "visual.merger.mlp.{}": ((256, 256), (256, 128))},
}
"""Layers with an adapter, and the channels of their input and output; of two layers where two are given."""


def save_adapter(name, folder):
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for layer, sizes in WEIGHTS[name].items():
        pairs = sizes if isinstance(sizes[0], tuple) else (sizes, sizes)
        numbers = (0, 2) if "mlp" in layer else (0, 1)
        for number, (wide, out) in zip(numbers, pairs, strict=True):
            own = f"base_model.model.model.{layer.format(number)}"
            weights[f"{own}.lora_A.weight"] = torch.randn(RANK, wide, generator=generator) * 0.2
            weights[f"{own}.lora_B.weight"] = torch.randn(out, RANK, generator=generator) * 0.2
    save_file(weights, folder / "adapter_model.safetensors")
    targets = sorted({name.split(".")[-3] for name in weights})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "target_modules": targets, "bias": "none"}
    config |= {"task_type": "CAUSAL_LM", "base_model_name_or_path": ""}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("name", WEIGHTS)
def test_an_adapter_on_the_encoder(checkpoint, tmp_path, name):
    save_adapter(name, tmp_path)
    options = {
        "enable_lora": True,
        "max_lora_rank": RANK,
        "enable_tower_connector_lora": True,
        "max_loras": 2,
    }
    options["enable_prefix_caching"] = False
    asked = requests_of(name)
    base, other = asked["image"], asked["images"]
    adapted = [one | {"adapter": str(tmp_path)} for one in (base, other)]
    rounds = [[base], [adapted[0]], [adapted[1]], [base, adapted[1]], adapted]
    plain = run(checkpoint(name), rounds, **options)
    full = run(checkpoint(name), rounds, hf_overrides=overrides(name, keep=1.0), **options)
    for answers, others in zip(plain, full, strict=True):
        for one, again in zip(answers, others, strict=True):
            same(again, one)
    (alone,), (first,), (second,), mixed, both = run(
        checkpoint(name), rounds, hf_overrides=overrides(name, keep=0.25), **options
    )
    assert first["logprobs"] != pytest.approx(alone["logprobs"], abs=1e-3)
    for one, again in zip((alone, second, first, second), (*mixed, *both), strict=True):
        same(again, one)
