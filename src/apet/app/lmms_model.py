"""The ``apet`` model of lmms-eval: any supported checkpoint with its visual tokens compressed.

``lmms-eval --model apet --model_args pretrained=llava-hf/llava-1.5-7b-hf,keep=64,stage2=paper --tasks gqa``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from tqdm import tqdm

from apet.app.loading import load_model
from apet.core.errors import ApETError
from apet.evaluation.configurations import FULL, Stages, build_method
from apet.evaluation.plain import applied, check_applies
from apet.evaluation.subject import Subject
from apet.methods import METHODS, Method

__all__ = ["ApETModel"]

_LONGEST = 1024


class ApETModel(lmms):  # type: ignore[misc]
    """A checkpoint under one configuration.

    Args:
        pretrained: Model id or folder; ``"embedded"`` is the embedded model.
        method: A name out of ``apet.methods.METHODS``, or ``"full"`` for no compression.
        keep: The budget; needed for every method that has one.
        stage2: ``"off"``, or ``"paper"``: the budget is then the average over decoder layers.
        batch_size: Prompts per ``generate``.
        device: Where to run; by default the GPU if there is one.
        trust_remote_code: Let the model's repository run its own code.
        max_batch_size: Not used; lmms-eval hands it to every model.
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
        **fields: Any,
    ) -> None:
        super().__init__()
        if stage2 not in get_args(Stages):
            raise ApETError("lmms-eval", f"stage2={stage2!r}", "'off' or 'paper'")
        if method != FULL and method not in METHODS:
            raise ApETError("lmms-eval", f"method={method!r}", "one of: " + ", ".join([FULL, *METHODS]))
        if method not in (FULL, "none") and keep is None:
            raise ApETError("lmms-eval", f"method={method!r} without keep", "a budget such as keep=64")
        embedded = pretrained == "embedded"
        model, processor = load_model(None if embedded else pretrained, trust_remote_code=trust_remote_code)
        if device is not None:
            model.to(device)
        self.subject = Subject(pretrained, model, processor, embedded)
        self.compression: Method | None = None
        if method != FULL:
            self.compression = build_method(method, keep or 1, stage2, self.subject.layers, fields)
        self.batch_size = int(batch_size)
        check_applies(self.subject, self.compression)

    @torch.no_grad()
    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers requests, in order; neighbours with the same generation settings share a batch."""
        answers: list[str] = []
        with (
            applied(self.subject, self.compression),
            tqdm(total=len(requests), disable=self.rank != 0) as bar,
        ):
            while len(answers) < len(requests):
                first = len(answers)
                settings = requests[first].args[2]
                part = []
                for request in requests[first : first + self.batch_size]:
                    if request.args[2] != settings:
                        break
                    part.append(request)
                found = self._answer([self._messages(request) for request in part], dict(settings))
                for request, answer in zip(part, found, strict=True):
                    self.cache_hook.add_partial("generate_until", (request.args[0], settings), answer)
                answers += found
                bar.update(len(part))
        return answers

    def _messages(self, request: Any) -> list[dict[str, Any]]:
        _, to_messages, _, number, task, split = request.args
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][number]))
        converted: list[dict[str, Any]] = messages.to_hf_messages()
        return converted

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
        """Refuses: tasks that compare likelihoods are not supported.

        Raises:
            ApETError: Always.
        """
        raise ApETError("lmms-eval", "a task that asks for likelihoods", "a task that generates text")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuses: tasks of several rounds are not supported.

        Raises:
            ApETError: Always.
        """
        raise ApETError("lmms-eval", "a task of several rounds", "a task that generates text once")


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop."""
    for stop in stops:
        if stop:
            text = text.split(stop, maxsplit=1)[0]
    return text.strip()
