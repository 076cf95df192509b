"""One question to a model about one picture, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import TextStreamer

from apet.app.command import typed
from apet.app.loading import check_context, context_of
from apet.core.errors import ApETError
from apet.hf.families import takes_videos
from apet.hf.first_token import FirstToken

_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"


@dataclass(frozen=True)
class Answer:
    """A model's answer, the seconds of ``generate``, and those up to the first token (selection included)."""

    text: str
    seconds: float
    first_token_seconds: float


def check_question(question: str) -> None:
    """Checks a question as far as that goes without a model."""
    if not question.strip():
        raise ApETError(typed("question", "ask"), "an empty question", "a question in words")


def kind_of(model: Any, processor: Any, frames: Sequence[Image.Image]) -> str:
    """``"video"`` where frames go in as one, else ``"image"``: some models get them as pictures, in order."""
    return "video" if len(frames) > 1 and takes_videos(model, processor) else "image"


def question_inputs(
    model: Any,
    processor: Any,
    pictures: Image.Image | Sequence[Image.Image],
    question: str,
    *,
    system: str | None = None,
    answer: int = 1,
) -> Any:
    """The model's inputs, by its own chat template, or LLaVA-1.5's wording where a processor carries none.

    ``answer`` is how many tokens the answer may take: all together has to fit the model's context.
    """
    check_question(question)
    placeholder = getattr(processor, "image_token", None)
    for name, text in (("question", question), ("system", system or "")):
        if placeholder and placeholder in text:
            raise ApETError(
                typed(name, "ask"), f"a {name} with {placeholder}", "words without the model's image token"
            )
    tokenizer = getattr(processor, "tokenizer", processor)
    # A prompt that is too long is refused here, in one line.
    getattr(tokenizer, "deprecation_warnings", {})[_TOO_LONG] = True
    frames = [pictures] if isinstance(pictures, Image.Image) else list(pictures)
    if kind_of(model, processor, frames) == "video":
        content = [{"type": "video", "video": frames}, {"type": "text", "text": question}]
        inputs = processor.apply_chat_template(
            _conversation(processor, content, system),
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            processor_kwargs={"do_sample_frames": False, "return_tensors": "pt"},  # they were sampled before
        )
    else:
        images = frames if len(frames) > 1 else frames[0]
        prompt = prompt_of(processor, question, len(frames), system)
        inputs = processor(images=images, text=prompt, return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    check_context(context_of(model.config), length, answer, typed(otherwise="ask"))
    return inputs.to(model.device, model.dtype)


def prompt_of(processor: Any, question: str, pictures: int = 1, system: str | None = None) -> str:
    """The model's own chat template, or LLaVA-1.5's wording where a processor carries none."""
    if getattr(processor, "chat_template", None):
        content = [*[{"type": "image"}] * pictures, {"type": "text", "text": question}]
        conversation = _conversation(processor, content, system)
        return str(processor.apply_chat_template(conversation, add_generation_prompt=True))
    before = "" if system is None else f"{system.strip()} "
    return f"{before}USER: " + "<image>\n" * pictures + f"{question} ASSISTANT:"


def _conversation(processor: Any, content: list[Any], system: str | None) -> list[Any]:
    """What a chat template gets; a system prompt is looked for in what it writes, since some drop it."""
    user_turn = {"role": "user", "content": content}
    if system is None:
        return [user_turn]
    for system_content in ([{"type": "text", "text": system}], system):
        messages = [{"role": "system", "content": system_content}, user_turn]
        try:
            written = processor.apply_chat_template(messages, add_generation_prompt=True)
        except (TemplateError, TypeError, ValueError):
            continue
        if system.strip() in written:
            return messages
    raise ApETError(
        typed("system", "ask"), "a chat template that takes no system prompt", "a model whose template does"
    )


def generate_answer(
    model: Any,
    processor: Any,
    inputs: Any,
    max_new_tokens: int,
    tell: Callable[[str], object] | None = None,
) -> Answer:
    """Answers greedily; ``tell`` is given the answer piece by piece, whole words at a time."""
    clock: Any = FirstToken() if tell is None else _Telling(processor, tell)
    start = time.perf_counter()
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, streamer=clock)
    seconds = time.perf_counter() - start
    text = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return Answer(str(text).strip(), seconds, clock.at - start)


class _Telling(TextStreamer):
    """Tells the words as they come, and notes when the first token does."""

    def __init__(self, processor: Any, tell: Callable[[str], object]) -> None:
        super().__init__(processor, skip_prompt=True, skip_special_tokens=True)
        self.clock, self.tell = FirstToken(), tell

    @property
    def at(self) -> float:
        """When the first token came."""
        return self.clock.at

    def put(self, value: Tensor) -> None:
        """Notes the time before words are made of the token."""
        self.clock.put(value)
        super().put(value)  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Tells whole words."""
        self.tell(text)


def median_of(answers: list[Answer]) -> dict[str, Any]:
    """The answer (the same every time: decoding is greedy) with the median times, for a report."""
    return {
        "answer": answers[0].text,
        "seconds": round(statistics.median(a.seconds for a in answers), 4),
        "first_token_seconds": round(statistics.median(a.first_token_seconds for a in answers), 4),
    }
