"""Every image-text-to-text type of transformers is either supported or stands in the list with its reason."""

from __future__ import annotations

import pytest
import torch
import transformers
from transformers import AutoModelForImageTextToText, BlipConfig
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

from apet.core.errors import ApETError
from apet.hf import apply
from apet.hf.families import FAMILIES, UNSUPPORTED
from apet.methods import ApET
from tests.hf.families import ABSENT

SINCE_5_24 = {"apertus1p5", "hy_v4_vl", "inkling2_loop"}


def test_every_type_is_in_one_of_the_two_lists():
    assert not FAMILIES.keys() & UNSUPPORTED.keys()
    assert not MAPPING.keys() - FAMILIES.keys() - UNSUPPORTED.keys()
    if not ABSENT:  # an older transformers lacks more types
        assert FAMILIES.keys() | UNSUPPORTED.keys() == MAPPING.keys() | SINCE_5_24


def test_a_class_of_a_type_that_transformers_does_not_list_is_refused():
    model = torch.nn.Linear(1, 1)
    model.config = type("Config", (), {"model_type": "llava"})()
    with pytest.raises(ApETError, match="LlavaForConditionalGeneration"):
        apply(model, ApET(keep=4))


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() & IMAGE_PROCESSOR_MAPPING_NAMES.keys()))
def test_torchvision_is_needed_where_transformers_has_no_other_way(name):
    """It has no image processor on pillow, reads videos, or declares that its processor needs torchvision."""
    processor = getattr(transformers, PROCESSOR_MAPPING_NAMES.get(name) or "", None)
    needed = (
        "pil" not in IMAGE_PROCESSOR_MAPPING_NAMES[name]
        or VIDEO_PROCESSOR_MAPPING_NAMES.get(name) is not None
        or "torchvision" in (getattr(processor, "_backends", None) or ())
    )
    assert ("torchvision" in FAMILIES[name].needs) == needed


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_the_reason_is_given(name):
    model = torch.nn.Linear(1, 1)
    model.config = type("Config", (), {"model_type": name})()
    with pytest.raises(ApETError) as caught:
        apply(model, ApET(keep=4))
    assert UNSUPPORTED[name] in str(caught.value)


def test_a_real_model_that_cannot_be_compressed():
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        vision_config=small | {"image_size": 24, "patch_size": 4},
        text_config=small | {"vocab_size": 64, "encoder_hidden_size": 32},
    )
    model = AutoModelForImageTextToText.from_config(config)
    with pytest.raises(ApETError, match="cannot be compressed: its text layers read the image by cross-att"):
        apply(model, ApET(keep=4))
