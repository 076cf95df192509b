"""The embedded model is asked by its server as it is everywhere else; no vLLM needed."""

import pytest

from apet import embedded

PICTURE = {"type": "image", "image": "?"}


def said(role, *parts):
    return {
        "role": role,
        "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts],
    }


@pytest.mark.parametrize(
    "chat",
    [
        [said("user", PICTURE, " What is RED? ")],
        [{"role": "user", "content": "No picture"}],
        [said("user", PICTURE, "One"), said("assistant", "Two "), said("user", "three")],
    ],
)
def test_it_gives_the_tokens_of_the_checkpoint_s(chat):
    _, processor = embedded.load()
    tokenizer = processor.tokenizer
    template = embedded.SERVER_TEMPLATE.read_text(encoding="utf-8")
    text = tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False)
    want = tokenizer(processor.apply_chat_template(chat, tokenize=False))["input_ids"]
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == want
