"""Names of weights that transformers changed after vLLM's release."""

from __future__ import annotations

import re

from vllm.model_executor.models.utils import WeightsMapper


def with_either_name(mapper: WeightsMapper) -> WeightsMapper:
    """Lets a model load whether its encoder was saved as ``vision_tower.vision_model`` or ``vision_tower``.

    transformers 5 saves the shorter name, which vLLM does not know.
    """
    short = re.compile(r"^(model\.)?vision_tower\.(?!vision_model\.)")
    return mapper | WeightsMapper(orig_to_new_regex={short: "vision_tower.vision_model."})
