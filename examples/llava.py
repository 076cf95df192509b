"""LLaVA-1.5 in both stages, as in the paper, and what was kept of the picture.

python examples/llava.py
python examples/llava.py photo.jpg "What is this?" --model llava-hf/llava-1.5-7b-hf
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import apet


def main(arguments: list[str] | None = None) -> None:
    """Answer from an average of 64 of 576 visual tokens per layer."""
    parser = argparse.ArgumentParser(description="Ask LLaVA-1.5 with an average of 64 visual tokens.")
    parser.add_argument("picture", nargs="?", default=Path(__file__).with_name("scene.png"))
    parser.add_argument("question", nargs="?", default="What does the text say?")
    parser.add_argument("--model", default=apet.embedded.PATH, help="The small embedded model if not given.")
    options = parser.parse_args(arguments)

    model = LlavaForConditionalGeneration.from_pretrained(options.model, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(options.model)
    content = [{"type": "image"}, {"type": "text", "text": options.question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=Image.open(options.picture), text=prompt, return_tensors="pt")
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
    main()
