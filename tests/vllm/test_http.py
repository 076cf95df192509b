"""Budgets by header and by name, and what responses and ``/metrics`` tell; two servers, started once."""

import asyncio
import os
import re
from types import SimpleNamespace

import httpx
import pytest
from benchmarks.server import running
from PIL import Image
from prometheus_client.mmap_dict import MmapedDict
from vllm.renderers.base import BaseRenderer

import apet
from apet.vllm import http
from apet.vllm.http import AFTER, BEFORE
from tests.vllm.engine import ENVIRONMENT
from tests.vllm.server import data_url, question

TOKENS = 576
TEXT = "What shape is the yellow object?"
METRICS = ("visual_inputs", "visual_tokens_before", "visual_tokens_after")


def picture(number):
    return Image.new("RGB", (336, 336), (number * 37 % 256, number * 91 % 256, 128))


def body(model="apet-embedded", number=0, images=1, **options):
    messages = question(picture(number), TEXT)
    messages[0]["content"] = messages[0]["content"][:1] * images + messages[0]["content"][1:]
    return {
        "model": model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": 6,
        "logprobs": True,
    } | options


def post(server, given, path="/v1/chat/completions", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(server + path, json=given, headers=headers, timeout=120)


def told(response):
    assert response.status_code == 200, response.text
    return int(response.headers[BEFORE]), int(response.headers[AFTER])


def metrics(server):
    text = httpx.get(f"{server}/metrics", timeout=30).text
    return [
        float(re.search(rf'^apet:{name}_total{{modality="image"}} (\S+)', text, re.MULTILINE)[1])
        for name in METRICS
    ]


@pytest.mark.parametrize(
    ("model", "headers", "kept"),
    [
        ("apet-embedded", {}, 64),
        ("apet-embedded@48", {}, 48),
        ("apet-embedded@0.05", {}, 29),
        ("apet-embedded", {"X_APET_Keep": "32"}, 32),
        ("apet-embedded", {"x_apet_keep": "0.05"}, 29),
        ("apet-embedded@48", {"X_APET_Keep": "7"}, 7),
    ],
)
def test_a_name_and_a_header_ask_for_a_budget(server, model, headers, kept):
    response = post(server, body(model), **headers)
    assert told(response) == (TOKENS, kept)
    want = post(server, body(mm_processor_kwargs={"apet_keep": kept}))
    for key in ("usage", "choices"):
        assert response.json()[key] == want.json()[key]


def test_a_request_s_own_arguments_come_first(server):
    both = post(server, body("apet-embedded@48", mm_processor_kwargs={"apet_keep": 8}), X_APET_Keep="16")
    assert told(both) == (TOKENS, 8)
    nothing = post(server, body(mm_processor_kwargs={"apet_keep": None}), X_APET_Keep="16")
    assert told(nothing) == (TOKENS, 16)
    assert told(post(server, body(mm_processor_kwargs={"apet_count": 5}))) == (TOKENS, 64)


def test_names_are_listed(server):
    listed = httpx.get(f"{server}/v1/models", timeout=30).json()["data"]
    assert [one["id"] for one in listed] == ["apet-embedded", "apet-embedded@48", "apet-embedded@0.05"]
    assert post(server, body("apet-embedded@50")).status_code == 404


def test_streams_several_pictures_and_caches(server):
    before = metrics(server)
    for _ in range(2):  # the second comes from vLLM's caches
        given = body(images=2, number=5, stream=True)
        with httpx.stream(
            "POST", f"{server}/v1/chat/completions", json=given, headers={"X-APET-Keep": "20"}, timeout=120
        ) as response:
            assert told(response) == (2 * TOKENS, 40)
            assert "[DONE]" in response.read().decode()
    assert [b - a for a, b in zip(before, metrics(server), strict=True)] == [4, 4 * TOKENS, 80]


def test_responses_and_tokenize(server):
    content = [{"type": "input_image", "image_url": data_url(picture(6)), "detail": "auto"}]
    content.append({"type": "input_text", "text": TEXT})
    given = {"model": "apet-embedded@48", "input": [{"role": "user", "content": content}]}
    assert told(post(server, given | {"max_output_tokens": 6}, "/v1/responses")) == (TOKENS, 48)
    before = metrics(server)
    messages = body()["messages"]
    counted = post(server, {"model": "apet-embedded", "messages": messages}, "/tokenize", X_APET_Keep="9")
    assert told(counted) == (TOKENS, 9)
    assert metrics(server) == before  # nothing of it went to the engine


def test_without_pictures_nothing_is_told(server):
    before = metrics(server)
    text = [{"role": "user", "content": "Is it?"}]
    for response in (
        post(server, body(messages=text), X_APET_Keep="5"),
        post(server, {"model": "apet-embedded@48", "prompt": "Is it?"}, "/v1/completions"),
    ):
        assert response.status_code == 200, response.text
        assert not {BEFORE.lower(), AFTER.lower()} & set(response.headers)
    assert metrics(server) == before


@pytest.mark.parametrize("value", ["many", "0", "1.5", "-3", "", "nan", "8, 9", "٨".encode()])
def test_what_is_no_budget_is_refused(server, value):
    before = metrics(server)
    for given in (body(), body(messages=[{"role": "user", "content": "Is it?"}])):
        response = post(server, given, X_APET_Keep=value)
        assert response.status_code == 400
        assert response.json()["error"]["message"].startswith("X-APET-Keep: got ")
    assert metrics(server) == before


def test_more_than_the_server_s_is_refused(server):
    before = metrics(server)
    for value in ("65", "0.5"):
        response = post(server, body(), X_APET_Keep=value)
        assert response.status_code == 400
        assert "at most the server's 64" in response.json()["error"]["message"]
        assert BEFORE not in response.headers
    assert metrics(server) == before


def test_requests_at_a_time_are_not_mixed_up(server):
    keeps = [3 + n % 60 for n in range(48)]

    async def together():
        async with httpx.AsyncClient(timeout=300) as client:
            calls = [
                client.post(
                    f"{server}/v1/chat/completions",
                    json=body("apet-embedded@48" if n % 3 == 0 else "apet-embedded", n % 7, 1 + n % 2),
                    headers={} if n % 3 == 0 else {"X-APET-Keep": str(keep)},
                )
                for n, keep in enumerate(keeps)
            ]
            return await asyncio.gather(*calls)

    for n, response in enumerate(asyncio.run(together())):
        images, keep = 1 + n % 2, 48 if n % 3 == 0 else keeps[n]
        assert told(response) == (images * TOKENS, images * keep)


@pytest.fixture(scope="module")
def plain_vllm(tmp_path_factory):
    """Two processes that answer, started by vLLM's command itself; clients are not trusted."""
    from apet import embedded

    folder = tmp_path_factory.mktemp("plain")
    about = (
        folder / "vllm-0.32.0.dist-info"
    )  # vLLM's command looks for this name, and its CPU build has another
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    overrides = '{"architectures": ["ApETLlavaForConditionalGeneration"], "apet": {"keep": 64}}'
    command = ["vllm.entrypoints.cli.main", "serve", str(embedded.PATH), "--hf-overrides", overrides]
    command += ["--served-model-name", "m", "m@32", "--middleware", "apet.vllm.http.Middleware"]
    command += ["--chat-template", str(embedded.SERVER_TEMPLATE), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "1024", "--max-num-seqs", "8", "--gpu-memory-utilization", "0.1"]
    command += ["--block-size", "32", "--api-server-count", "2"]
    (shared := folder / "metrics").mkdir()
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = ENVIRONMENT | {"PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(shared)}
    with running(command, folder / "log", environment) as (address, _):
        yield address, shared


def test_several_processes_share_counters_and_trust_no_client(plain_vllm):
    address, shared = plain_vllm
    for n in range(12):  # a connection each, so that both processes answer
        assert told(post(address, body("m@32" if n % 2 else "m", n), X_APET_Keep="16")) == (TOKENS, 16)
        assert metrics(address) == [n + 1, (n + 1) * TOKENS, (n + 1) * 16]
    assert told(post(address, body("m@32"))) == (TOKENS, 32)
    files = [MmapedDict.read_all_values_from_file(file) for file in shared.glob("counter_*.db")]
    assert sum(any("apet:visual" in key and value for key, value, *_ in one) for one in files) == 2
    for options in ({"apet_keep": 8}, {"size": {"height": 4000, "width": 4000}}):
        response = post(address, body("m", mm_processor_kwargs=options), X_APET_Keep="16")
        assert response.status_code == 400
        assert "trust-request-mm-kwargs" in response.json()["error"]["message"]


def test_the_middleware_twice_is_one_and_leaves_others_alone():
    sent = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            http._request.get().count.add("image", 9, 4)
            await send({"type": "http.response.start", "status": scope["status"], "headers": [(b"a", b"b")]})
        else:
            sent.append((scope["type"], receive, send))

    async def keep(message):
        sent.append(message)

    def run(scope, send="send"):
        asyncio.run(http.Middleware(http.Middleware(app))(scope, "receive", send))
        return sent[-1]

    for kind in ("lifespan", "websocket"):
        assert run({"type": kind}) == (kind, "receive", "send")
    post = {"type": "http", "method": "POST", "app": SimpleNamespace(state=SimpleNamespace()), "headers": []}
    told = [(b"a", b"b"), (b"x-apet-tokens-before", b"9"), (b"x-apet-tokens-after", b"4")]
    assert run(post | {"status": 200}, keep)["headers"] == told
    assert run(post | {"status": 400}, keep)["headers"] == told[:1]
    twice = [(b"x-apet-keep", b"4"), (b"x-apet-keep", b"4")]
    run(post | {"status": 200, "headers": twice}, keep)
    assert sent[-2]["status"] == 400
    assert b"got '4, 4'" in sent[-1]["body"]


def test_a_budget_is_refused_where_nothing_is_compressed():
    renderer = SimpleNamespace(mm_processor=object())
    http.Middleware(None)
    token = http._request.set(http._Request(8, {}))
    try:
        with pytest.raises(apet.ApETError, match="compresses nothing"):
            asyncio.run(BaseRenderer._process_tokens_async(renderer, {"multi_modal_data": {"image": 1}}))
    finally:
        http._request.reset(token)
