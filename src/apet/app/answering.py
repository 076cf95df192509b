"""One question to a model about one picture, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.families import family_of, takes_videos
from apet.hf.first_token import FirstToken

__all__ = [
    "Answer",
    "check_question",
    "generate_answer",
    "median_answer",
    "prompt_of",
    "question_inputs",
    "visual_tokens",
]


@dataclass(frozen=True)
class Answer:
    """A model's answer.

    ``seconds`` is the whole of ``generate``, ``first_token_seconds`` the part up to the first token (vision,
    selection and prefill).
    """

    text: str
    seconds: float
    first_token_seconds: float


def check_question(question: str) -> None:
    """Checks a question as far as that goes without a model.

    Raises:
        ApETError: If it is empty.
    """
    if not question.strip():
        raise ApETError("ask", "an empty question", "a question in words")


def question_inputs(
    model: Any, processor: Any, pictures: Image.Image | Sequence[Image.Image], question: str
) -> Any:
    """The model's inputs, by its own chat template, or LLaVA-1.5's wording where a processor carries none.

    Args:
        model: The model.
        processor: Its processor.
        pictures: A picture, or the frames of a video: models that take no videos get them as pictures.
        question: What to ask.

    Raises:
        ApETError: If the question is empty or holds the model's image token.
    """
    check_question(question)
    placeholder = getattr(processor, "image_token", None)
    if placeholder and placeholder in question:
        raise ApETError("ask", f"a question with {placeholder}", "a question without the model's image token")
    frames = [pictures] if isinstance(pictures, Image.Image) else list(pictures)
    if len(frames) > 1 and takes_videos(model, processor):
        content = [{"type": "video", "video": frames}, {"type": "text", "text": question}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            processor_kwargs={"do_sample_frames": False, "return_tensors": "pt"},  # they were sampled before
        )
    else:
        images = frames if len(frames) > 1 else frames[0]
        prompt = prompt_of(processor, question, len(frames))
        inputs = processor(images=images, text=prompt, return_tensors="pt")
    return inputs.to(model.device, model.dtype)


def visual_tokens(model: Any, ids: Tensor) -> int:
    """Visual tokens of a prompt."""
    kinds = family_of(model, "ask").modalities
    placeholders = {getattr(model.config, modality.placeholder) for modality in kinds}
    return sum(int(torch.eq(ids, placeholder).sum()) for placeholder in placeholders)


def prompt_of(processor: Any, question: str, pictures: int = 1) -> str:
    """The model's own chat template, or LLaVA-1.5's wording where a processor carries none."""
    if getattr(processor, "chat_template", None):
        content = [*[{"type": "image"}] * pictures, {"type": "text", "text": question}]
        return str(
            processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        )
    return "USER: " + "<image>\n" * pictures + f"{question} ASSISTANT:"


def generate_answer(model: Any, processor: Any, inputs: Any, max_new_tokens: int) -> Answer:
    """Answers greedily."""
    clock = FirstToken()
    start = time.perf_counter()
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, streamer=clock)
    seconds = time.perf_counter() - start
    text = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return Answer(str(text).strip(), seconds, clock.at - start)


def median_answer(answers: list[Answer]) -> Answer:
    """The answer (the same every time: decoding is greedy) with the median times."""
    return Answer(
        answers[0].text,
        statistics.median(a.seconds for a in answers),
        statistics.median(a.first_token_seconds for a in answers),
    )
