"""Tiny Muse models; some of their layers have no rotary positions."""

from __future__ import annotations

from typing import Any

from tests.hf.families.build import PLACEHOLDERS, SLIDING, TEXT, VISION, tiny, without
from tests.hf.families.pieces import concatenated, each, grids
from tests.hf.families.recipe import IMAGES, VIDEOS, Recipe

ENCODER = without(VISION, "image_size") | {
    "pos_emb_height": 4,
    "pos_emb_width": 4,
    "patch_temporal": 2,
    "merge_size": 2,
}
LAYERS = {
    **SLIDING,
    "layer_rope_theta": [10000.0, 0.0] * 2,
    "qk_scale_factor": 1.0,
    "output_multiplier": 1.0,
}
EXPERTS = {
    "moe_intermediate_size": 32,
    "moe_hidden_size": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
AUDIO = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "out_hidden_size": 64}
TOP: dict[str, Any] = {"out_hidden_size": 4 * 32, "projector_hidden_size": 32, "scale": 3.0, **PLACEHOLDERS}
PIECES = grids(each, letters="ijv")

RECIPES = (
    Recipe(
        "muse_glimmer",
        tiny("MuseGlimmer", ENCODER, TEXT | LAYERS, **TOP),
        PIECES,
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "muse_spark",
        tiny("MuseSpark", ENCODER, TEXT | LAYERS | EXPERTS, audio_config=AUDIO, audio_token_id=59, **TOP),
        PIECES,
        concatenated,
        IMAGES | VIDEOS,
    ),
)
