"""The real eye's shape: DINOv2-small as it is, LLaVA's projector, and the embedded model's decoder."""

from __future__ import annotations

import torch
from transformers import (
    CLIPImageProcessorPil,
    Dinov2Config,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from apet.scenes.easy_vqa import EASY_COLOURS, EASY_SHAPES
from apet.scenes.object_questions import OBJECT_TEMPLATES
from apet.scenes.objects import GROUPS, OBJECTS, plural
from apet.scenes.scene import PATCH, SIZE
from training.architecture import build_tokenizer, llava_around

WIDTH = 384
"""Width of DINOv2-small's features."""
LAYER = 9
"""The layer, out of 12, whose patches the decoder sees: linear readings of held-out drawings, colours and
characters are better there than at the last."""
_EASY_WORDS = "what which is are there not no a the of in does image contain present shape color"
"""The words of easy-vqa's questions beside its colours and shapes."""


def image_processor() -> CLIPImageProcessorPil:
    """336 x 336 pixels with the means and deviations that DINOv2 was trained with."""
    return CLIPImageProcessorPil(
        size={"height": SIZE, "width": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def eye_tokenizer() -> PreTrainedTokenizerFast:
    """The embedded model's tokenizer with the words of objects and of easy-vqa."""
    wordings = [
        text.replace("{a}", "").replace("{b}", "") for own in OBJECT_TEMPLATES.values() for text in own
    ]
    names = [*OBJECTS, *map(plural, OBJECTS), *GROUPS, "a an"]
    return build_tokenizer(" ".join([*wordings, *names, _EASY_WORDS, *EASY_COLOURS, *EASY_SHAPES]))


def build_eye(tokenizer: PreTrainedTokenizerFast, layers: int = 12) -> LlavaForConditionalGeneration:
    """A LLaVA around an encoder of DINOv2-small's shape, or of fewer layers; all weights are random."""
    torch.manual_seed(0)
    vision = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=layers, num_attention_heads=6, image_size=518, patch_size=PATCH
    )
    # Counted from the end, as LLaVA does.
    return llava_around(vision, tokenizer, vision_feature_layer=LAYER - 13)
