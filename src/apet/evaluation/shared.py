"""What is done once for many questions: the encoder's work per picture, a prefill per method and picture.

A question stands behind the picture in LLaVA's prompt, so what the layers hold of the picture does not depend
on it, and the KV cache of "everything up to the picture's last token" serves every question. That holds under
every method that does not look at the question. Answers are those of `answer_plainly`, which a test and every
report's check of some answers compare.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_map_only

from apet.core.errors import ApETError
from apet.evaluation.plain import LONGEST_ANSWER, Reply, applied
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.hf.arguments import cache_name, cache_out
from apet.hf.results import ImageResult, schedule_of
from apet.methods import Attended, Method

_ROWS = 64


def is_blind(method: Method | None) -> bool:
    """Whether a method does not look at the question."""
    return method is None or method.blind


def can_share(subject: Subject, case: Case) -> bool:
    """Whether a case can be answered from a shared prefill: one picture, one turn, LLaVA-1.5's layout."""
    return subject.picture_tokens is not None and case.kind == "image" and len(case.turns) == 1


class Shared:
    """Some pictures with their questions, which `can_share`, to be asked under one method after another."""

    def __init__(self, subject: Subject, cases: Sequence[Case]) -> None:
        self.subject = subject
        firsts = list({case.group: case for case in reversed(cases)}.values())[::-1]
        self.place = {case.group: number for number, case in enumerate(firsts)}
        shown = [case.pictures() for case in firsts]
        whole = subject.encode(
            [
                [{"role": "user", "content": subject.message(case, 0, pictures)}]
                for case, pictures in zip(firsts, shown, strict=True)
            ]
        )
        self.pixels: Tensor = whole["pixel_values"]
        processor = subject.processor
        mask = whole["attention_mask"][0].bool()
        expected = whole["input_ids"][0][mask].tolist()
        image_id = subject.model.config.image_token_id
        self.tokens = expected.count(image_id)
        self.ids: dict[str, list[int]] = {}
        for case in cases:
            message = [{"role": "user", "content": subject.message(case, 0, shown[self.place[case.group]])}]
            text = processor.apply_chat_template(message, add_generation_prompt=True)
            text = text.replace(processor.image_token, processor.image_token * self.tokens)
            self.ids[case.key] = processor.tokenizer(text)["input_ids"]
        end = len(expected) - expected[::-1].index(image_id)
        self.prefix = expected[:end]
        alike = self.ids[firsts[0].key] == expected
        if not alike or any(ids[:end] != self.prefix or image_id in ids[end:] for ids in self.ids.values()):
            raise ApETError("eval", "a chat template with text before the picture that differs", "one prefix")

    @torch.no_grad()
    def answer(self, cases: Sequence[Case], method: Method | None) -> list[Reply]:
        """Answers some of the cases, in order, under a method that `is_blind`, or none."""
        model, device = self.subject.model, self.subject.model.device
        replies: dict[str, Reply] = {}
        with applied(model, method) as session:
            prefix = torch.tensor([self.prefix], device=device).expand(len(self.place), -1)
            cache = cache_out(
                model(
                    input_ids=prefix,
                    attention_mask=torch.ones_like(prefix),
                    pixel_values=self.pixels,
                    use_cache=True,
                    logits_to_keep=1,
                )
            )
            images: Sequence[ImageResult] = () if session is None else session.images
            for group in self._by_length(cases):
                rows = torch.tensor([self.place[case.group] for case in group], device=device)
                part = copy.deepcopy(cache)
                part.batch_select_indices(rows)
                ids = torch.tensor([self.ids[case.key] for case in group], device=device)
                output = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    **{cache_name(model): part},
                    max_new_tokens=LONGEST_ANSWER,
                    do_sample=False,
                )
                texts = self.subject.decode(output, ids.shape[1])
                for case, text in zip(group, texts, strict=True):
                    own_images = tuple(image for image in images if image.row == self.place[case.group])
                    schedule = ((0, self.tokens),) if method is None else schedule_of(own_images, method)
                    replies[case.key] = Reply(case, (text,), schedule, own_images)
        return [replies[case.key] for case in cases]

    def _by_length(self, cases: Sequence[Case]) -> Iterator[list[Case]]:
        """Cases whose prompts are as long: no padding between picture and question."""
        alike: dict[int, list[Case]] = {}
        for case in cases:
            alike.setdefault(len(self.ids[case.key]), []).append(case)
        for group in alike.values():
            for start in range(0, len(group), _ROWS):
                yield group[start : start + _ROWS]


def looks_inside(method: Method | None) -> bool:
    """Whether a method reads the encoder's own attention, so that the encoder has to run under it."""
    return isinstance(method, Attended) and method.reads == "vision"


@contextmanager
def encoding_once(module: nn.Module, known: dict[tuple[Any, ...], Any]) -> Iterator[None]:
    """Within the block an encoder that is given pixels that are known gives out what it gave out before.

    Pictures are told apart by their content, row by row, so another size of a picture is another picture. The
    encoder's attention implementation belongs to what is remembered.

    Args:
        module: The vision encoder; its call takes pixels ``(B, C, H, W)`` and flags, and gives tensors, or
            tuples of tensors, with a row for each picture.
        known: What is remembered from one block to the next; it grows.
    """
    before = module.__dict__.get("forward")
    original: Callable[..., Any] = module.forward

    @functools.wraps(original)  # others look at what it can be given
    def forward(pixel_values: Tensor, **kwargs: Any) -> Any:
        implementation = getattr(getattr(module, "config", None), "_attn_implementation", None)
        call = (implementation, tuple(sorted((name, repr(value)) for name, value in kwargs.items())))
        keys = [(_digest(row), *call) for row in pixel_values]
        new = {key: row for row, key in enumerate(keys) if key not in known}
        if new:
            output = original(pixel_values[list(new.values())], **kwargs)
            for at, key in enumerate(new):
                known[key] = tree_map_only(Tensor, operator.itemgetter(at), output)
        return tree_map(_stacked, *(known[key] for key in keys))

    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _stacked(*rows: Any) -> Any:
    return torch.stack(rows) if isinstance(rows[0], Tensor) else rows[0]


def _digest(row: Tensor) -> bytes:
    raw = row.detach().contiguous().cpu().view(torch.uint8).numpy()
    return hashlib.blake2b(raw.tobytes() + repr(tuple(row.shape)).encode(), digest_size=16).digest()
