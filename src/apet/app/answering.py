"""One question to a model about one picture, timed."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from PIL import Image

from apet.core.errors import ApETError
from apet.hf.first_token import FirstToken

__all__ = ["Answer", "check_question", "generate_answer", "median_answer", "prompt_of", "question_inputs"]


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


def question_inputs(model: Any, processor: Any, picture: Image.Image, question: str) -> Any:
    """The model's inputs, by its own chat template, or LLaVA-1.5's wording where a processor carries none.

    Raises:
        ApETError: If the question is empty or holds the model's image token.
    """
    check_question(question)
    placeholder = getattr(processor, "image_token", None)
    if placeholder and placeholder in question:
        raise ApETError("ask", f"a question with {placeholder}", "a question without the model's image token")
    inputs = processor(images=picture, text=prompt_of(processor, question), return_tensors="pt")
    return inputs.to(model.device, model.dtype)


def prompt_of(processor: Any, question: str) -> str:
    """The model's own chat template, or LLaVA-1.5's wording where a processor carries none."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return str(
            processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        )
    return f"USER: <image>\n{question} ASSISTANT:"


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
