"""Tiny Gemma models, and PaliGemma."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import SIDE, TEXT, TOWER, chat_template, tokenizer


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


def gemma4():
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
        "default_output_length": 70,
    }
    layers = {"hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": TEXT["vocab_size"]}
    return _gemma4("", sizes, layers)


def gemma4_unified():
    sizes = {
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "mm_embed_dim": 128,
        "mm_posemb_size": 64,
        "output_proj_dims": 128,
        "num_soft_tokens": 70,
    }
    # vLLM's attention on CPUs is causal inside images too
    return _gemma4("Unified", sizes, {"use_bidirectional_attention": None})


def _gemma4(kind, sizes, layers):
    text = {
        "head_dim": 64,
        "global_head_dim": 64,
        "sliding_window": 1024,  # vLLM counts it in kept tokens, transformers in those of the whole prompt
        "layer_types": ["sliding_attention", "full_attention"],
        "pad_token_id": 0,  # vLLM takes this one's embeddings of later layers for every placeholder
    }

    def made(name):
        return getattr(transformers, f"Gemma4{kind}{name}")

    config = made("Config")(
        vision_config=sizes,
        text_config=TEXT | text | layers,
        boi_token_id=4,
        eoi_token_id=5,
        image_token_id=6,
        video_token_id=7,
    )
    names = {
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "image_token": "<|image|>",
        "video_token": "<|video|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "audio_token": "<|audio|>",
    }
    special = ["<unk>", "<bos>", "<eos>", "<pad>", *names.values()]
    limits = {"patch_size": 8, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    processor = made("Processor")(
        made("AudioFeatureExtractor")(),
        made("ImageProcessor")(**limits),
        tokenizer(special, names),
        made("VideoProcessor")(**limits),
        image_seq_length=70,
        chat_template=chat_template("<|image|>", "<|video|>"),
    )
    return made("ForConditionalGeneration")(config), processor


def paligemma():
    config = transformers.PaliGemmaConfig(
        vision_config=TOWER | {"model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=TEXT | {"model_type": "gemma", "head_dim": 64},
        image_token_index=4,
        projection_dim=128,
        hidden_size=128,
    )
    special = ["<unk>", "<bos>", "<eos>", "<pad>", "<image>", "\n"]
    words = tokenizer(special, {"image_token": "<image>"})
    words.bos_token = "<bos>"
    images = transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = 64
    processor = transformers.PaliGemmaProcessor(images, words, chat_template=chat_template("", ""))
    model = transformers.PaliGemmaForConditionalGeneration(config)
    # Behind a norm without weights all tokens are of one length, and the decision starts from the longest:
    # rounding would make it.
    model.model.vision_tower.post_layernorm.weight.data.uniform_(0.5, 1.5)
    return model, processor
