"""A model of any supported family on your pictures, and on a video where it takes one.

    python examples/families.py
    python examples/families.py photo.jpg --model OpenGVLab/InternVL3-1B-hf --question "What is this?"
    python examples/families.py --video clip.mp4 --keep 0.1 --model llava-hf/llava-onevision-qwen2-7b-ov-hf

`apet models` lists the families, with a checkpoint of each. What a family's processor needs beyond
transformers stands in docs/models.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import apet


def main(arguments: list[str] | None = None) -> None:
    """Ask one question about all pictures and the video, with few visual tokens."""
    parser = argparse.ArgumentParser(description="Ask a compressed model about pictures or a video.")
    parser.add_argument("pictures", nargs="*", metavar="PICTURE")
    parser.add_argument("--video")
    parser.add_argument("--model", default=apet.embedded.PATH, help="The small embedded model if not given.")
    parser.add_argument("--question", default="What does the text say?")
    parser.add_argument("--keep", type=float, default=0.25, help="Share of each part's visual tokens.")
    options = parser.parse_args(arguments)
    if not options.pictures and not options.video:
        options.pictures = [Path(__file__).with_name("scene.png")]

    processor = AutoProcessor.from_pretrained(options.model)
    model = AutoModelForImageTextToText.from_pretrained(options.model, dtype="auto", device_map="auto")
    families = {family.model_type: family for family in apet.supported_models()}
    family = families.get(model.config.model_type)
    if options.video and family and "video" not in family.inputs:
        parser.error(f"{family.title} takes {' and '.join(family.inputs)} only")
    content = [{"type": "image", "image": Image.open(path)} for path in options.pictures]
    content += [{"type": "video", "path": options.video}] if options.video else []
    content.append({"type": "text", "text": options.question})
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device, model.dtype)

    with apet.compressing(model, apet.ApET(keep=options.keep)) as session:
        output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    prompt = inputs["input_ids"].shape[1]
    print(processor.batch_decode(output[:, prompt:], skip_special_tokens=True)[0].strip())
    for part in session.images:
        print(f"{part.modality} {part.image}, part {part.part}: {len(part.indices)} of {part.tokens} tokens")


if __name__ == "__main__":
    main()
