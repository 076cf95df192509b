"""A batch of prompts with one picture, two pictures and none, of different length.

python examples/batch.py one.jpg two.jpg
"""

from __future__ import annotations

import sys

from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import apet

NAME = "llava-hf/llava-1.5-7b-hf"


def main(first: str, second: str) -> None:
    """Print every row's answer, and how many of its visual tokens were kept."""
    model = LlavaForConditionalGeneration.from_pretrained(NAME, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(NAME)
    processor.tokenizer.padding_side = "left"
    prompts = [
        "USER: <image>\nWhat is this? ASSISTANT:",
        "USER: <image>\n<image>\nWhat differs between the two? ASSISTANT:",
        "USER: Name a colour. ASSISTANT:",
    ]
    one, two = Image.open(first), Image.open(second)
    inputs = processor(images=[[one], [one, two], []], text=prompts, padding=True, return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)

    with apet.compressing(model, apet.ApET(keep=64)) as session:
        output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    answers = processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    for row, answer in enumerate(answers):
        kept = [f"{len(image.indices)} of {image.tokens}" for image in session.images if image.row == row]
        print(f"{answer.strip()} ({', '.join(kept) or 'no picture'})")


if __name__ == "__main__":
    main(*sys.argv[1:])
