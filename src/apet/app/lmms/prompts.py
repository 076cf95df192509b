"""How pictures and conversations are put to the model, where a paper did not do as its processor does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from apet.core.errors import ApETError
from apet.core.words import one_of

CONVERSATIONS = {
    "vicuna_v1": (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )
}
"""System prompts of LLaVA's conversation templates."""

_TEMPLATE = (
    "{{ '%s' }} {%% for message in messages %%}{%% if message['role'] == 'assistant' %%}"
    "ASSISTANT: {{ message['content'][0]['text'] }}</s>{%% else %%}USER: "
    "{%% for part in message['content'] if part['type'] == 'image' %%}{{ '<image>\n' }}{%% endfor %%}"
    "{%% for part in message['content'] if part['type'] == 'text' %%}{{ part['text'] }} {%% endfor %%}"
    "{%% endif %%}{%% endfor %%}{%% if add_generation_prompt %%}ASSISTANT:{%% endif %%}"
)


@dataclass(frozen=True)
class Prompts:
    """What a published evaluation does before the model.

    Attributes:
        pad: Pad pictures to a square in the processor's mean colour, as LLaVA does, where transformers'
            CLIP processor would cut the sides off.
        conversation: A name out of `CONVERSATIONS`, or None for the processor's own chat template.
        min_pixels: Least pixels that a picture is scaled to, for processors of Qwen's kind.
        max_pixels: Most pixels, likewise.
    """

    pad: bool = False
    conversation: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None

    def set_up(self, processor: Any) -> None:
        """Makes a processor follow them."""
        if self.conversation is not None:
            if self.conversation not in CONVERSATIONS:
                raise ApETError(
                    "lmms-eval",
                    f"conversation={self.conversation!r}",
                    one_of(CONVERSATIONS, self.conversation),
                )
            if getattr(processor, "image_token", None) != "<image>":
                got = f"conversation={self.conversation!r} for a {type(processor).__name__}"
                raise ApETError("lmms-eval", got, "a model of LLaVA's kind, whose picture token is <image>")
            processor.chat_template = _TEMPLATE % CONVERSATIONS[self.conversation].replace("'", "\\'")
        bounds = {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels}
        bounds = {name: value for name, value in bounds.items() if value is not None}
        if bounds:
            size: Any = getattr(processor.image_processor, "size", None)
            sides = {name: value for name, value in dict(size or {}).items() if value}
            if not {"shortest_edge", "longest_edge"} <= set(sides):
                got = f"min_pixels or max_pixels for a {type(processor.image_processor).__name__}"
                raise ApETError("lmms-eval", got, "a processor that scales pictures to a number of pixels")
            processor.image_processor.size = type(size)(**{**sides, **bounds})
        if self.pad and getattr(processor.image_processor, "image_mean", None) is None:
            raise ApETError("lmms-eval", "pad=True for a processor without a mean colour", "pad=False")

    def pictures(self, messages: list[dict[str, Any]], processor: Any) -> list[dict[str, Any]]:
        """The messages with their pictures padded, if they are to be."""
        if not self.pad:
            return messages
        mean = processor.image_processor.image_mean
        return [
            {
                **message,
                "content": [
                    {**part, "image": padded(part["image"], mean)} if part["type"] == "image" else part
                    for part in message["content"]
                ],
            }
            for message in messages
        ]


def padded(picture: Image.Image, mean: Any) -> Image.Image:
    """The picture in the middle of a square of the mean colour (three shares of 0 to 1).

    >>> padded(Image.new("RGB", (4, 2)), (0.5, 0.5, 0.5)).getpixel((0, 0))
    (127, 127, 127)
    """
    side = max(picture.size)
    square = Image.new("RGB", (side, side), tuple(int(share * 255) for share in mean))
    square.paste(picture.convert("RGB"), ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
