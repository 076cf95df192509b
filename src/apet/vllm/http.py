"""What clients and owners see of compression at vLLM's HTTP server: a middleware for its ``--middleware``.

A budget comes with a header or with the model's name, so that clients need no ``mm_processor_kwargs`` and the
server need not trust those. It joins the request behind vLLM's check of what clients may set, and it is all
that joins: a budget can only be smaller than the server's own.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from apet.core.errors import ApETError
from apet.vllm.counts import COUNT, Count, publish
from apet.vllm.settings import HEADER, REQUEST, keep_of_text, keeps_by_name, without_ours

BEFORE, AFTER = "X-APET-Tokens-Before", "X-APET-Tokens-After"
"""Headers of a response to a request with images or videos: their visual tokens, all together."""

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class _Request:
    """One HTTP request.

    Attributes:
        keep: The header's budget; None without one.
        keeps: Budgets by the model's name.
        body: What was received of the body so far, if a name may tell a budget.
        count: Its visual tokens.
        used: Whether they go to the engine; those of ``/tokenize`` do not.
    """

    def __init__(self, keep: int | float | None, keeps: dict[str, int | float]) -> None:
        self.keep, self.keeps = keep, keeps
        self.body: list[bytes] = []
        self.count = Count()
        self.used = False

    def asked(self) -> int | float | None:
        """The header's budget, else that of the model's name, else None."""
        if self.keep is None and self.body:
            try:
                body = json.loads(b"".join(self.body))
            except ValueError:  # of another kind, such as a form
                body = None
            self.body.clear()
            self.keep = self.keeps.get(str(body.get("model"))) if isinstance(body, dict) else None
        return self.keep


_request: ContextVar[_Request | None] = ContextVar("apet_request", default=None)


class Middleware:
    """Reads budgets of requests, and tells visual tokens in responses and on ``/metrics``.

    Args:
        app: The server.

    Examples:
        ``vllm serve MODEL --middleware apet.vllm.http.Middleware``; `apet serve` adds it itself.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        _patch_renderer()
        publish(Count())

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answers a request; one with a header that is no budget at once, with status 400."""
        if scope["type"] != "http" or scope["method"] != "POST" or _request.get() is not None:
            await self.app(scope, receive, send)
            return
        try:
            request = _Request(_header(scope["headers"]), _keeps(scope["app"]))
        except ApETError as error:
            await _refuse(str(error), send)
            return

        async def hear() -> _Message:
            message = await receive()
            if request.keeps and request.keep is None and message["type"] == "http.request":
                request.body.append(message.get("body", b""))
            return message

        async def tell(message: _Message) -> None:
            if message["type"] == "http.response.start":
                request.body.clear()
                if request.count.of and message["status"] < 400:
                    before, after = request.count.tokens
                    headers = [*message.get("headers", ()), _pair(BEFORE, before), _pair(AFTER, after)]
                    message = {**message, "headers": headers}
                    if request.used:
                        publish(request.count)
            await send(message)

        token = _request.set(request)
        try:
            await self.app(scope, hear, tell)
        finally:
            _request.reset(token)


def _header(headers: list[tuple[bytes, bytes]]) -> int | float | None:
    values = [value.decode("latin-1") for name, value in headers if name.decode("latin-1") == HEADER.lower()]
    return keep_of_text(", ".join(values), HEADER) if values else None


def _keeps(app: Any) -> dict[str, int | float]:
    served = getattr(app.state, "openai_serving_models", None)
    return keeps_by_name(tuple(path.name for path in served.base_model_paths)) if served else {}


def _pair(name: str, number: int) -> tuple[bytes, bytes]:
    return name.lower().encode(), str(number).encode()


async def _refuse(message: str, send: _Send) -> None:
    """Answers as vLLM does when it refuses a request."""
    error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), _pair("content-length", len(body))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _patch_renderer() -> None:
    """Has vLLM hand a request's budget to its processor, and take the count from there. May be repeated.

    The processor runs in a thread of its own, which does not know whose request it works on.
    """
    from vllm.renderers.base import BaseRenderer

    inner: Any = BaseRenderer._process_tokens_async
    if hasattr(inner, "apet"):
        return

    @functools.wraps(inner)
    async def process(renderer: Any, prompt: dict[str, Any], *, skip_mm_cache: bool = False) -> Any:
        request = _request.get()
        if request is None or not prompt.get("multi_modal_data"):
            return await inner(renderer, prompt, skip_mm_cache=skip_mm_cache)
        keep = request.asked()
        if hasattr(renderer.mm_processor, "apet_method"):
            asked = {} if keep is None else {REQUEST: keep}
            request_options = prompt.get("mm_processor_kwargs") or {}
            if request_options.get(REQUEST, 0) is None:  # not said
                request_options = without_ours(request_options)
            options = asked | request_options | {COUNT: request.count}
            prompt = prompt | {"mm_processor_kwargs": options}
            request.used = not skip_mm_cache
        elif keep is not None:
            raise ApETError(HEADER, str(keep), "no budget: this server compresses nothing")
        return await inner(renderer, prompt, skip_mm_cache=skip_mm_cache)

    process.apet = True  # type: ignore[attr-defined]
    BaseRenderer._process_tokens_async = process
