"""What the tiny models have in common: sizes, a tokenizer that learned nothing, chat templates."""

from __future__ import annotations

from typing import Any

import transformers
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
