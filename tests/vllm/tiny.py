"""Tiny random models as checkpoints with a processor and a tokenizer, for vLLM and transformers alike.

    python -m tests.vllm.tiny NAME FOLDER

Weights are drawn wide, so that attention matters and a wrong token moves the log-probabilities by far more
than the tests allow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SIDE = 112
TEXT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "vocab_size": 320,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 14,
}
LLAVA_TOKENS = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "<video>"]
QWEN_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
QWEN_IDS = {
    "image_token_id": 6,
    "video_token_id": 7,
    "vision_start_token_id": 4,
    "vision_end_token_id": 5,
}
PINPOINTS = [[112, 224], [224, 112], [224, 224]]


def chat_template(image: str, video: str) -> str:
    """A template with the tokens of an image or a video where the message has one."""
    return (
        "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
        "{% for c in m.content %}{% if c.type in ('image', 'image_url') %}"
        + image
        + "{% elif c.type == 'video' %}"
        + video
        + "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )


LLAVA_CHAT = chat_template("<image>\n", "<video>\n")
QWEN_CHAT = chat_template(
    "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
)


def tokenizer(special: list[str], names: dict[str, str] | None = None) -> Any:
    """A tokenizer that learned nothing but these tokens; the third ends a text and the fourth pads."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    plain.train_from_iterator(["what is in the picture and what is not"] * 4, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token=special[2],
        pad_token=special[3],
        extra_special_tokens=names
        or {
            f"{kind}_token": next(t for t in special if t.strip("<|>").removesuffix("_pad") == kind)
            for kind in ("image", "video")
        },
        model_max_length=4096,
    )


def llava():
    vision = transformers.CLIPVisionConfig(**TOWER)
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=transformers.LlamaConfig(**TEXT, head_dim=64),
        image_token_index=4,
        image_seq_length=64,
        vision_feature_layer=-2,
    )
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor = transformers.LlavaProcessor(
        images,
        tokenizer(LLAVA_TOKENS),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    return transformers.LlavaForConditionalGeneration(config), processor


def llava_next():
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**TOWER),
        text_config=transformers.LlamaConfig(**TEXT, head_dim=64),
        image_token_index=4,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-2,
    )
    images = transformers.LlavaNextImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=PINPOINTS,
    )
    processor = transformers.LlavaNextProcessor(
        images,
        tokenizer(LLAVA_TOKENS),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    return transformers.LlavaNextForConditionalGeneration(config), processor


def llava_onevision():
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER, vision_use_head=False),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=4,
        video_token_index=5,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = transformers.LlavaOnevisionImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=PINPOINTS
    )
    videos = transformers.LlavaOnevisionVideoProcessor(size={"height": SIDE, "width": SIDE})
    processor = transformers.LlavaOnevisionProcessor(
        images,
        tokenizer(LLAVA_TOKENS),
        videos,
        num_image_tokens=64,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_CHAT,
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def qwen2_5_vl():
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
    config = transformers.Qwen2_5_VLConfig(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        **QWEN_IDS,
    )
    limits = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 64}
    grid = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    processor = transformers.Qwen2_5_VLProcessor(
        transformers.Qwen2VLImageProcessor(**limits, **grid),
        tokenizer(QWEN_TOKENS),
        transformers.Qwen2VLVideoProcessor(**limits, **grid),
        chat_template=QWEN_CHAT,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl():
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [12, 10, 10],
        "mrope_interleaved": True,
    }
    config = transformers.Qwen3VLConfig(
        text_config=TEXT | {"head_dim": 64, "rope_parameters": rope},
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        **QWEN_IDS,
    )
    grid = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # vLLM has one norm for images and videos
    processor = transformers.Qwen3VLProcessor(
        transformers.Qwen2VLImageProcessor(min_pixels=32 * 32, max_pixels=32 * 32 * 64, **grid, **half),
        tokenizer(QWEN_TOKENS),
        transformers.Qwen3VLVideoProcessor(**grid, **half),
        chat_template=QWEN_CHAT,
    )
    return transformers.Qwen3VLForConditionalGeneration(config), processor


def qwen3_5():
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
    }
    linear = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 64,
        "linear_value_head_dim": 64,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "head_dim": 64,
        "rope_parameters": rope,
    }
    config = transformers.Qwen3_5Config(
        text_config=TEXT | linear,
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 64,
        },
        **QWEN_IDS,
    )
    _, processor = qwen3_vl()
    return transformers.Qwen3_5ForConditionalGeneration(config), processor


def internvl():
    config = transformers.InternVLConfig(
        vision_config=TOWER | {"num_hidden_layers": 2, "image_size": [SIDE, SIDE], "patch_size": [14, 14]},
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_id=6,
        image_seq_length=16,
        downsample_ratio=0.5,
    )
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    size = {"height": SIDE, "width": SIDE}
    processor = transformers.InternVLProcessor(
        transformers.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", *names.values()], names),
        transformers.InternVLVideoProcessor(size=size),
        image_seq_length=16,
        chat_template=chat_template("<IMG_CONTEXT>\n", "<video>\n"),
    )
    return transformers.InternVLForConditionalGeneration(config), processor


def gemma3():
    text = {
        "head_dim": 64,
        "query_pre_attn_scalar": 64,
        "sliding_window": 512,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    config = transformers.Gemma3Config(
        vision_config=transformers.SiglipVisionConfig(**TOWER, vision_use_head=False),
        text_config=TEXT | text,
        image_token_index=6,
        boi_token_index=4,
        eoi_token_index=5,
        mm_tokens_per_image=16,
    )
    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    special = ["<unk>", "<bos>", "<eos>", "<pad>", *names.values(), *("\n" * n for n in range(1, 5))]
    processor = transformers.Gemma3Processor(
        transformers.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer(special, names),
        image_seq_length=16,
        chat_template=chat_template("<start_of_image>", ""),
    )
    return transformers.Gemma3ForConditionalGeneration(config), processor


MODELS = {
    build.__name__: build
    for build in (llava, llava_next, llava_onevision, qwen2_5_vl, qwen3_vl, qwen3_5, internvl, gemma3)
}


def save(name: str, folder: Path) -> None:
    """Builds a model and writes it, its processor and its tokenizer."""
    torch.manual_seed(0)
    model, processor = MODELS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
        if hasattr(model.model, "image_newline"):
            model.model.image_newline.normal_(0, 0.5)
    model.float().eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    if not name.startswith("llava"):
        return
    weights = folder / "model.safetensors"
    named = {_older_name(key): value for key, value in load_file(weights).items()}
    save_file(named, weights, metadata={"format": "pt"})


def _older_name(key: str) -> str:
    """The name of the encoder's weights that vLLM's own classes know, and transformers still reads."""
    head, found, rest = key.partition("vision_tower.")
    return key if not found or rest.startswith("vision_model.") else f"{head}{found}vision_model.{rest}"


if __name__ == "__main__":
    save(sys.argv[1], Path(sys.argv[2]))
