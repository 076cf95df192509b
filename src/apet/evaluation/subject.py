"""The model under evaluation: what prompts it takes, and what tells it from every other one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from apet.evaluation.tasks import Case
from apet.hf.families import takes_videos

_SHORT = "Answer with a single word, number or short phrase."
_SAMPLE = 2**20


@dataclass(frozen=True)
class Subject:
    """A loaded model with its processor.

    Attributes:
        name: As given on the command line, or ``"embedded"``.
        model: The model, in evaluation mode and not compressed.
        processor: Its processor; its tokenizer is made to pad on the left.
        embedded: Whether it is the embedded model or a retrained one, which is asked without more words.
        reload: Loads the same subject in another process; None if it is to stay in one.
    """

    name: str
    model: Any
    processor: Any
    embedded: bool
    reload: Callable[[], Subject] | None = None

    def __post_init__(self) -> None:
        """Makes the tokenizer pad as generation needs it."""
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    @property
    def layers(self) -> int:
        """Decoder layers of the language model."""
        return int(self.model.config.get_text_config(decoder=True).num_hidden_layers)

    @property
    def takes_videos(self) -> bool:
        """Whether videos go in as such; else their frames go in as pictures, in order."""
        return takes_videos(self.model, self.processor)

    @property
    def picture_tokens(self) -> int | None:
        """Visual tokens of every picture, where all have as many; else None."""
        config = self.model.config
        if config.model_type != "llava" or config.vision_config.model_type == "pixtral":
            return None
        return int(config.image_seq_length)

    @cached_property
    def fingerprint(self) -> str:
        """What tells these weights from others: the commit, or a hash of the files' ends.

        Weights that were trained again under the same path have another fingerprint.
        """
        where = Path(str(self.model.config.name_or_path))
        if not where.is_dir():
            return f"{self.name}@{getattr(self.model.config, '_commit_hash', None)}"
        digest = hashlib.sha256()
        for path in sorted([*where.glob("*.safetensors"), *where.glob("*.json"), *where.glob("*.jinja")]):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                digest.update(file.read(_SAMPLE))
                file.seek(max(size - _SAMPLE, 0))
                digest.update(file.read())
        return digest.hexdigest()[:16]

    def message(self, case: Case, turn: int, pictures: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """Content of the user's message of one turn; the first shows what the case shows."""
        content: list[dict[str, Any]] = []
        if turn == 0 and case.kind == "video" and self.takes_videos:
            content.append({"type": "video", "video": list(pictures)})
        elif turn == 0:
            content += [{"type": "image", "image": picture} for picture in pictures]
        text = case.turns[turn] if self.embedded else f"{case.turns[turn]}\n{_SHORT}"
        return [*content, {"type": "text", "text": text}]

    def encode(self, conversations: Sequence[list[dict[str, Any]]]) -> Any:
        """Model inputs of a batch of conversations, padded on the left."""
        inputs = self.processor.apply_chat_template(
            list(conversations),
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        )
        return inputs.to(self.model.device, self.model.dtype)

    def decode(self, output: Any, length: int) -> list[str]:
        """The texts that were generated behind prompts of a length."""
        texts = self.processor.batch_decode(output[:, length:], skip_special_tokens=True)
        return [str(text).strip() for text in texts]
