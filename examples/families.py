"""Any supported family on your pictures, and on a video where it takes one.

    python examples/families.py qwen2_5_vl photo.jpg other.jpg --question "What changed?"
    python examples/families.py llava_onevision --video clip.mp4 --keep 0.1
    python examples/families.py internvl photo.jpg --model OpenGVLab/InternVL3-1B-hf

The model type picks an example checkpoint (`apet models` lists them); `--model` takes another one. What a
family's processor needs beyond transformers stands in docs/models.md.
"""

from __future__ import annotations

import argparse

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import apet


def main(arguments: list[str] | None = None) -> None:
    """Ask one question about all pictures and the video, with few visual tokens."""
    families = {family.model_type: family for family in apet.supported_models()}
    parser = argparse.ArgumentParser(description="Ask a compressed model about pictures or a video.")
    parser.add_argument("model_type", choices=sorted(families), metavar="MODEL_TYPE")
    parser.add_argument("pictures", nargs="*", metavar="PICTURE")
    parser.add_argument("--video")
    parser.add_argument("--model", help="Checkpoint; an example of the family if not given.")
    parser.add_argument("--question", default="Describe what you see.")
    parser.add_argument("--keep", type=float, default=0.25, help="Share of each part's visual tokens.")
    options = parser.parse_args(arguments)
    family = families[options.model_type]
    if options.video and "video" not in family.inputs:
        parser.error(f"{family.title} takes {' and '.join(family.inputs)} only")
    if not options.model and not family.checkpoints:
        parser.error(f"no example checkpoint of {family.title} is known; give one with --model")

    name = options.model or family.checkpoints[0]
    processor = AutoProcessor.from_pretrained(name)
    model = AutoModelForImageTextToText.from_pretrained(name, dtype="auto", device_map="auto")
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
