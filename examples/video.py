"""A video and a picture in one prompt.

python examples/video.py
python examples/video.py clip.mp4 photo.jpg "Does the photo show it?" --model Qwen/Qwen2.5-VL-7B-Instruct

Models that take videos read the file themselves, which needs torchvision and a video decoder. Others, such as
the small embedded one, get the frames of an animated GIF or WebP as so many pictures; the embedded model was
trained on single pictures, so its tokens can be counted and its answer is not to be believed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence
from transformers import AutoModelForImageTextToText, AutoProcessor

import apet

HERE = Path(__file__).parent


def video_parts(path: str, model_type: str) -> list[dict[str, Any]]:
    """The video as the model takes it: as one, or three frames of it as pictures."""
    families = {family.model_type: family for family in apet.supported_models()}
    if "video" in families[model_type].inputs:
        return [{"type": "video", "path": path}]
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(path))]
    return [{"type": "image", "image": frame} for frame in frames[:: max(1, len(frames) // 3)][:3]]


def main(arguments: list[str] | None = None) -> None:
    """Keep a tenth of every frame and of the picture."""
    parser = argparse.ArgumentParser(description="Ask about a video and a picture.")
    parser.add_argument("video", nargs="?", default=str(HERE / "clip.webp"))
    parser.add_argument("picture", nargs="?", default=str(HERE / "scene.png"))
    parser.add_argument("question", nargs="?", default="Does the picture show a scene of the clip?")
    parser.add_argument("--model", default=apet.embedded.PATH, help="The small embedded model if not given.")
    options = parser.parse_args(arguments)

    model = AutoModelForImageTextToText.from_pretrained(options.model, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(options.model)
    content = video_parts(options.video, model.config.model_type)
    content.append({"type": "image", "image": Image.open(options.picture)})
    content.append({"type": "text", "text": options.question})
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device, model.dtype)

    with apet.compressing(model, apet.ApET(keep=0.1)) as session:
        output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    print(processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0])
    kept, tokens, parts = Counter[str](), Counter[str](), Counter[str]()
    for part in session.images:
        kept[part.modality] += len(part.indices)
        tokens[part.modality] += part.tokens
        parts[part.modality] += 1
    for kind in parts:
        print(f"{kind}: {kept[kind]} of {tokens[kind]} tokens in {parts[kind]} parts")


if __name__ == "__main__":
    main()
