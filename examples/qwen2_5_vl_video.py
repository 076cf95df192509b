"""Qwen2.5-VL on a video and a picture in one prompt (needs torchvision and a video decoder).

python examples/qwen2_5_vl_video.py clip.mp4 photo.jpg "Does the photo show a scene of the clip?"
"""

from __future__ import annotations

import sys

from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

import apet

NAME = "Qwen/Qwen2.5-VL-7B-Instruct"


def main(video: str, picture: str, question: str) -> None:
    """Keep a tenth of every frame and of the picture."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(NAME, dtype="auto", device_map="auto")
    processor = AutoProcessor.from_pretrained(NAME)
    content = [
        {"type": "video", "path": video},
        {"type": "image", "path": picture},
        {"type": "text", "text": question},
    ]
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
    for kind in ("video", "image"):
        parts = [part for part in session.images if part.modality == kind]
        kept = sum(len(part.indices) for part in parts)
        print(f"{kind}: {kept} of {sum(part.tokens for part in parts)} tokens in {len(parts)} parts")


if __name__ == "__main__":
    main(*sys.argv[1:])
