"""The embedded model is an ordinary checkpoint that answers, and still answers with a ninth of its tokens."""

import json

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import apet
from apet import embedded
from apet.evaluation import Subject, draw_cases
from apet.evaluation.shared import Shared
from apet.scenes import SKILLS

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def loaded():
    return embedded.load()


def test_the_checkpoint_is_small_safe_and_described():
    names = {path.name for path in embedded.PATH.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth", ".pkl")) for name in names)
    assert sum(path.stat().st_size for path in embedded.PATH.iterdir()) < 45 * MEGABYTE


def test_plain_transformers_load_it(loaded):
    model = AutoModelForImageTextToText.from_pretrained(embedded.PATH, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(embedded.PATH)
    assert type(model) is type(loaded[0])
    assert model.config.text_config.num_hidden_layers >= 8
    inputs = processor(
        images=Image.new("RGB", (500, 300)), text="<image>is there a red star?\n", return_tensors="pt"
    )
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 576
    assert inputs["pixel_values"].shape == (1, 3, 336, 336)


def test_the_tokenizer_keeps_text_and_words(loaded):
    tokenizer = loaded[1].tokenizer
    for text in ("top left", "TAXI42", "red circle", "yes"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_the_chat_template_lowers_questions_not_answers(loaded):
    turns = [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": "What does the text SAY? "}],
        },
        {"role": "assistant", "content": "TAXI"},
        {"role": "user", "content": "How many stars are there?"},
    ]
    expected = "<image>what does the text say?\nTAXI</s>how many stars are there?\n"
    assert loaded[1].apply_chat_template(turns) == expected


def test_it_answers_with_all_tokens_and_with_a_ninth(loaded):
    """Asked of shared prefills, which `tests/evaluation` shows to answer as plain calls do."""
    cases = draw_cases(list(SKILLS), 10, "validation")
    shared = Shared(Subject("embedded", *loaded, embedded=True), cases)

    def accuracy(method):
        replies = shared.answer(cases, method)
        return sum(reply.case.score(reply.answers) for reply in replies) / len(cases)

    whole = accuracy(None)
    ninth = accuracy(apet.ApET(64))
    later = accuracy(apet.ApET(1.0, stage2=apet.Stage2(4, 64)))
    random = accuracy(apet.Random(64))
    print(json.dumps({"whole": whole, "ninth": ninth, "from layer 4": later, "random": random}))
    assert whole >= 0.85
    assert later >= whole - 0.05
    assert ninth >= whole - 0.1
    assert ninth >= random + 0.25
