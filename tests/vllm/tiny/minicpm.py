"""Tiny MiniCPM-V models, with linear attention."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import TEXT, TOWER, chat_template, tokenizer
from tests.vllm.tiny.qwen import LINEAR_TEXT

SIDE = 224
NAMES = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
IDS = {"image_token_id": 4, "video_token_id": 5}
PLACES = {
    "image_start_id": 6,
    "image_end_id": 7,
    "slice_start_id": 8,
    "slice_end_id": 9,
    "newline_id": 12,
}


def _minicpm(release: str, **options):
    def made(name):
        return getattr(transformers, f"MiniCPMV4_{release}{name}")

    config = made("Config")(
        vision_config=TOWER | {"image_size": SIDE, "insert_layer_id": 0},
        text_config=TEXT | LINEAR_TEXT | {"model_type": "qwen3_5_text"},
        insert_layer_id=0,
        image_size=SIDE,
        **IDS,
        **options,
    )
    sizes = {"scale_resolution": SIDE, "max_slice_nums": 4}
    processor = made("Processor")(
        transformers.MiniCPMV4_6ImageProcessor(**sizes),
        transformers.MiniCPMV4_6VideoProcessor(**sizes, do_sample_frames=False),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", *NAMES.values(), "\n"], NAMES),
        chat_template=chat_template("<|image_pad|>", "<|video_pad|>"),
    )
    return made("ForConditionalGeneration")(config), processor


def minicpmv4_6():
    return _minicpm("6")


def minicpmv4_7():
    return _minicpm("7", **PLACES)
