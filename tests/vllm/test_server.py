"""The server for real: ``apet serve`` with the embedded model, asked through OpenAI's client."""

from __future__ import annotations

import asyncio
import json
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

import openai
import pytest
from PIL import Image

from apet.scenes import ask, draw, sample_scene, seeded
from tests.vllm.server import question

KEEP = 64
MODEL = "apet-embedded"
ANSWER = {"model": MODEL, "temperature": 0, "max_tokens": 12, "logprobs": True}
BUDGETS = (None, 48, 64, 0.05)
SECONDS = 120


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", timeout=SECONDS, max_retries=0)


@pytest.fixture(scope="module")
def pairs():
    """Pictures with questions that the embedded model was not trained on."""
    found = []
    for index in range(16):
        rng = seeded("validation", index)
        scene = sample_scene(rng)
        image = Image.fromarray(draw(scene))
        found += [(image, one) for one in ask(rng, scene, 2)]
    assert len(found) == 32
    return found


def budget(keep):
    return {} if keep is None else {"mm_processor_kwargs": {"apet_keep": keep}}


def ask_one(client, image, text, keep=None):
    return client.chat.completions.create(messages=question(image, text), extra_body=budget(keep), **ANSWER)


def content(response):
    choice = response.choices[0]
    scores = [token.logprob for token in choice.logprobs.content]
    return choice.message.content.strip(), response.usage.prompt_tokens, scores


def test_it_answers_rightly_with_a_ninth_of_the_tokens(client, pairs):
    right = 0
    for image, one in pairs:
        answer, tokens, _ = content(ask_one(client, image, one.text))
        assert KEEP < tokens < KEEP + 40
        right += answer == one.answer
    assert right >= 0.7 * len(pairs), f"{right} of {len(pairs)}"


def test_many_at_once_are_answered_as_one_by_one(server, client, pairs):
    asked = [(image, one.text, BUDGETS[n % len(BUDGETS)]) for n, (image, one) in enumerate(pairs)]
    alone = [content(ask_one(client, *one)) for one in asked]

    async def together():
        many = openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", timeout=SECONDS, max_retries=0)
        async with many:
            calls = [
                many.chat.completions.create(
                    messages=question(image, text), extra_body=budget(keep), **ANSWER
                )
                for image, text, keep in asked
            ]
            return [content(one) for one in await asyncio.gather(*calls)]

    for one, other in zip(alone, asyncio.run(together()), strict=True):
        assert other[:2] == one[:2]
        assert other[2] == pytest.approx(one[2], abs=1e-3)
    lengths = {keep: tokens for (_, _, keep), (_, tokens, _) in zip(asked, alone, strict=True)}
    assert lengths[0.05] < lengths[48] < lengths[64]


def refused(client, image, text, body=None):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(messages=question(image, text), extra_body=body or {}, **ANSWER)
    return str(caught.value)


def still_answers(client, pairs):
    image, one = pairs[0]
    assert content(ask_one(client, image, one.text))[0]


def test_a_budget_above_the_server_s_is_refused(client, pairs):
    image, one = pairs[0]
    message = refused(client, image, one.text, budget(65))
    assert "65 of 576 tokens" in message
    assert "at most the server's 64" in message
    assert "apet_keep" in refused(client, image, one.text, budget("many"))
    still_answers(client, pairs)


def test_a_malformed_picture_is_refused(client, pairs):
    refused(client, b"\x89PNG\r\n\x1a\n no picture", "what is it?")
    still_answers(client, pairs)


def test_an_aborted_request_harms_nobody(server, client, pairs):
    address = urlsplit(server)
    for image, one in pairs[:4]:
        body = {"model": MODEL, "messages": question(image, one.text), "max_tokens": 800, "ignore_eos": True}
        connection = HTTPConnection(address.hostname, address.port)
        kind = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), kind)
        time.sleep(0.3)  # the engine is at work on it
        connection.close()
    stream = client.chat.completions.create(
        messages=question(pairs[0][0], pairs[0][1].text),
        model=MODEL,
        max_tokens=400,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    stream.close()
    still_answers(client, pairs)
