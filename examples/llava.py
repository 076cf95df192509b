"""LLaVA-1.5 in both stages, as in the paper, and what was kept of the picture.

python examples/llava.py photo.jpg "What is this?"
"""

from __future__ import annotations

import sys

from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import apet

NAME = "llava-hf/llava-1.5-7b-hf"


def main(picture: str, question: str) -> None:
    """Answer from an average of 64 of 576 visual tokens per layer."""
    model = LlavaForConditionalGeneration.from_pretrained(NAME, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(NAME)
    prompt = f"USER: <image>\n{question} ASSISTANT:"
    inputs = processor(images=Image.open(picture), text=prompt, return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)

    layers = model.config.text_config.num_hidden_layers
    with apet.compressing(model, apet.ApET.paper(64, num_layers=layers)) as session:
        output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    print(processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    image = session.images[0]
    print(
        f"{image.tokens} visual tokens, {image.tokens_stage1} from layer 0, {image.tokens_stage2} at the end"
    )
    print(f"worst explained: token {int(image.errors.argmax())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
