"""The ``apet`` model of lmms-eval: any supported checkpoint with its visual tokens compressed.

``lmms-eval --model apet --model_args pretrained=llava-hf/llava-1.5-7b-hf,keep=64,stage2=paper --tasks gqa``
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import torch
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from tqdm import tqdm

from apet.app.lmms.prompts import Prompts
from apet.app.loading import load_model
from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.evaluation.configurations import FULL, Configuration, Stages, build_method, has_budget
from apet.evaluation.plain import applied, check_applies
from apet.evaluation.runner import configuration_key
from apet.evaluation.store import Store
from apet.evaluation.subject import Subject
from apet.methods import METHODS, Method

_LONGEST = 1024


class ApETModel(lmms):  # type: ignore[misc]
    """A checkpoint under one configuration.

    Args:
        pretrained: Model id or folder; ``"embedded"`` is the embedded model.
        method: A name out of ``apet.methods.METHODS``, or ``"full"`` for no compression.
        keep: The budget; needed for every method that has one, unless it has a tolerance.
        stage2: ``"off"``, or ``"paper"``: the budget is then the average over decoder layers.
        batch_size: Prompts per ``generate``.
        device: Where to run; by default the GPU if there is one.
        trust_remote_code: Let the model's repository run its own code.
        max_batch_size: Not used; lmms-eval hands it to every model.
        answers: A file of answers: those in it are not asked for again, new ones are added as they are given.
        pad: As in `apet.app.lmms.prompts.Prompts`, like the next three.
        conversation: A conversation template by name.
        min_pixels: Least pixels of a picture.
        max_pixels: Most pixels of a picture.
        fields: Further fields of the method, such as ``merge=False``.

    Raises:
        ApETError: If something does not exist or does not fit.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "embedded",
        method: str = "apet",
        keep: int | float | None = None,
        stage2: Stages = "off",
        batch_size: int | str = 1,
        device: str | None = None,
        trust_remote_code: bool = False,
        max_batch_size: int | None = None,
        answers: str | None = None,
        pad: bool = False,
        conversation: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        **fields: Any,
    ) -> None:
        super().__init__()
        if stage2 not in get_args(Stages):
            raise ApETError("lmms-eval", f"stage2={stage2!r}", "'off' or 'paper'")
        if method != FULL and method not in METHODS:
            raise ApETError("lmms-eval", f"method={method!r}", one_of([FULL, *METHODS], method))
        if keep is None and method != FULL and has_budget(method, fields):
            raise ApETError("lmms-eval", f"method={method!r} without keep", "a budget such as keep=64")
        embedded = pretrained == "embedded"
        model, processor = load_model(None if embedded else pretrained, trust_remote_code=trust_remote_code)
        if device is not None:
            model.to(device)
        self.prompts = Prompts(pad, conversation, min_pixels, max_pixels)
        self.prompts.set_up(processor)
        self.subject = Subject(pretrained, model, processor, embedded)
        self.applied_method: Method | None = None
        if method != FULL:
            budget = 1 if keep is None else keep  # one that is not looked at
            self.applied_method = build_method(method, budget, stage2, self.subject.layers, fields)
            self.applied_method = self.applied_method.fitted(self.subject.layers)
        self.batch_size = int(batch_size)
        self.answers = None if answers is None else Path(answers)
        check_applies(self.subject, self.applied_method)

    @torch.no_grad()
    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers requests, in order; neighbours with the same generation settings share a batch."""
        keys = [self._key(request) for request in requests]
        with nullcontext() if self.answers is None else Store(self.answers) as store:
            answers: dict[str, str] = (
                {} if store is None else {line["key"]: line["answer"] for line in store.lines}
            )
            left = [number for number, key in enumerate(keys) if key not in answers]
            with (
                applied(self.subject.model, self.applied_method),
                tqdm(total=len(requests), initial=len(requests) - len(left), disable=self.rank != 0) as bar,
            ):
                while left:
                    settings = requests[left[0]].args[2]
                    part: list[int] = []
                    for number in left[: self.batch_size]:
                        if requests[number].args[2] != settings:
                            break
                        part.append(number)
                    replies = self._answer(
                        [self._messages(requests[number]) for number in part], dict(settings)
                    )
                    for number, answer in zip(part, replies, strict=True):
                        answers[keys[number]] = answer
                        if store is not None:
                            _, _, _, document, task, _ = requests[number].args
                            store.add(
                                {"key": keys[number], "task": task, "number": document, "answer": answer}
                            )
                    left = left[len(part) :]
                    bar.update(len(part))
        for request, key in zip(requests, keys, strict=True):
            self.cache_hook.add_partial("generate_until", (request.args[0], request.args[2]), answers[key])
        return [answers[key] for key in keys]

    def _key(self, request: Any) -> str:
        """Hash of everything that an answer depends on."""
        text, _, settings, number, task, split = request.args
        configuration = Configuration("", built=self.applied_method)
        parts = (
            configuration_key(self.subject, configuration),
            self.prompts,
            text,
            settings,
            number,
            task,
            split,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]

    def _messages(self, request: Any) -> list[dict[str, Any]]:
        _, to_messages, _, number, task, split = request.args
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][number]))
        return self.prompts.pictures(messages.to_hf_messages(), self.subject.processor)

    def _answer(self, conversations: list[list[dict[str, Any]]], settings: dict[str, Any]) -> list[str]:
        inputs = self.subject.encode(conversations)
        samples = bool(settings.get("do_sample")) and (settings.get("temperature") or 0) > 0
        sampling = {name: settings.get(name) for name in ("temperature", "top_p")} if samples else {}
        output = self.subject.model.generate(
            **inputs,
            max_new_tokens=int(settings.get("max_new_tokens", _LONGEST)),
            num_beams=int(settings.get("num_beams") or 1),
            do_sample=samples,
            **sampling,
        )
        texts = self.subject.decode(output, inputs["input_ids"].shape[1])
        until = settings.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        return [_cut(text, stops) for text in texts]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuses: tasks that compare likelihoods are not supported."""
        raise ApETError("lmms-eval", "a task that asks for likelihoods", "a task that generates text")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuses: tasks of several rounds are not supported."""
        raise ApETError("lmms-eval", "a task of several rounds", "a task that generates text once")


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop."""
    for stop in stops:
        if stop:
            text = text.split(stop, maxsplit=1)[0]
    return text.strip()
