"""A batch of prompts with one picture, two pictures and none, of different length.

python examples/batch.py
python examples/batch.py one.jpg two.jpg --model llava-hf/llava-1.5-7b-hf

The small embedded model was trained on single pictures. These three questions it answers rightly, with and
without compression; of others about two pictures, or about none, believe nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import apet

QUESTIONS = [
    (1, "What shape is the yellow object?"),
    (2, "What does the text say?"),
    (0, "Is there a picture?"),
]


def main(arguments: list[str] | None = None) -> None:
    """Print every row's answer, and how many of its visual tokens were kept."""
    parser = argparse.ArgumentParser(description="Ask LLaVA-1.5 three questions in one batch.")
    parser.add_argument("first", nargs="?", default=Path(__file__).with_name("scene.png"))
    parser.add_argument("second", nargs="?", default=Path(__file__).with_name("clip.webp"))
    parser.add_argument("--model", default=apet.embedded.PATH, help="The small embedded model if not given.")
    options = parser.parse_args(arguments)

    model = LlavaForConditionalGeneration.from_pretrained(options.model, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(options.model)
    processor.tokenizer.padding_side = "left"
    pictures = [Image.open(path).convert("RGB") for path in (options.first, options.second)]
    prompts = []
    for count, question in QUESTIONS:
        content = [{"type": "image"}] * count + [{"type": "text", "text": question}]
        conversation = [{"role": "user", "content": content}]
        prompts.append(processor.apply_chat_template(conversation, add_generation_prompt=True))
    images = [pictures[:count] for count, _ in QUESTIONS]
    inputs = processor(images=images, text=prompts, padding=True, return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)

    with apet.compressing(model, apet.ApET(keep=64)) as session:
        output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    answers = processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    for row, answer in enumerate(answers):
        kept = [f"{len(image.indices)} of {image.tokens}" for image in session.images if image.row == row]
        print(f"{answer.strip()} ({', '.join(kept) or 'no picture'})")


if __name__ == "__main__":
    main()
