"""The same prompts under transformers, compressed by `apet.apply`: the same core in another engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from transformers import AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

import apet
from tests.vllm.engine import NEW_TOKENS
from tests.vllm.processing import TIMED, film, picture
from tests.vllm.tiny import TRANSFORMERS

ASKED = {"cosmos3_edge": {"return_mm_token_type_ids": True, "return_metadata": True}}
"""What a processor has to be asked for, so that it makes what its model wants."""
CAUSAL = {"paligemma": 1}
"""The type of tokens that see nothing behind them, where it is not 0."""


class Reference:
    """A tiny model under transformers."""

    def __init__(self, folder: Path) -> None:
        self.published = (folder / TRANSFORMERS).is_dir()
        if self.published:
            folder = folder / TRANSFORMERS
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        # By name, because vLLM may have put a config of its own into transformers' mapping.
        model = getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[kind])
        self.model = model.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model.generation_config.eos_token_id = None  # as the engine is told to ignore it

    def answer(
        self, one: dict[str, Any], method: apet.Method, allowed: list[int] | None = None
    ) -> dict[str, Any]:
        """Greedy tokens (of those allowed), their log-probabilities, the prompt's length before and after."""
        inputs = self._inputs(one)
        with torch.no_grad(), apet.compressing(self.model, method) as session:
            output = self.model.generate(
                **inputs,
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                prefix_allowed_tokens_fn=None if allowed is None else lambda *_: allowed,
                output_logits=True,
                return_dict_in_generate=True,
            )
            dropped = sum(image.tokens - len(image.indices) for image in session.images)
        tokens = output.sequences[0, inputs["input_ids"].shape[1] :]
        scores = torch.stack(output.logits)[:, 0].log_softmax(-1)
        return {
            "tokens": tokens.tolist(),
            "logprobs": scores.gather(1, tokens[:, None])[:, 0].tolist(),
            "length": inputs["input_ids"].shape[1],
            "short": inputs["input_ids"].shape[1] - dropped,
        }

    def _inputs(self, one: dict[str, Any]) -> Any:
        given: dict[str, Any] = {}
        prompt = one["prompt"]
        images = [picture(*numbers) for numbers in one["images"]]
        videos = [film(*numbers) for numbers in one["videos"]]
        if self.published:
            prompt, images, videos = _frames_as_images(prompt, images, videos)
        if images:
            given["images"] = images
        if videos:
            given["videos"] = [torch.from_numpy(pixels).permute(0, 3, 1, 2) for pixels, _ in videos]
            if type(self.processor).__name__.lower().startswith(TIMED):
                known = ("fps", "duration", "total_num_frames", "frames_indices", "video_backend")
                given["video_metadata"] = [{name: about[name] for name in known} for _, about in videos]
                given["do_sample_frames"] = False
        given |= ASKED.get(self.model.config.model_type, {})
        inputs = self.processor(text=[prompt], return_tensors="pt", **given)
        inputs.pop("video_metadata", None)
        if "token_type_ids" in inputs:  # vLLM's attention on CPUs is causal inside images and prefixes too
            inputs["token_type_ids"].fill_(CAUSAL.get(self.model.config.model_type, 0))
        return inputs


def _frames_as_images(prompt: str, images: list[Any], videos: list[Any]) -> tuple[str, list[Any], list[Any]]:
    """A request as InternVL's makers have it: frames are images with a number before each."""
    prompt = prompt.replace("<image>", "<IMG_CONTEXT>")
    for pixels, _ in videos:
        numbered = "".join(f"Frame{number + 1}: <IMG_CONTEXT>" for number in range(len(pixels)))
        prompt = prompt.replace("<video>", numbered, 1)
        images = [*images, *(Image.fromarray(frame) for frame in pixels)]
    return prompt, images, []
