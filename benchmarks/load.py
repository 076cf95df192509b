"""Whether `apet serve` stands a load: many clients, pictures of five sizes, four budgets, for minutes.

    python -m benchmarks.load [--minutes 5] [--clients 64] [--plain] [--json FILE] [--log FILE]

A tiny random Qwen2.5-VL is served. Every request is asked alone first, and has to bring the same tokens and
the same counts again among all others. Caches are small, so that their entries come and go. The memory of all
of the server's processes is read while it runs; ``--plain`` asks vLLM without apet the same, which tells how
much of it is vLLM's own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.server import content, machine, picture, running

SIZES = ((56, 56), (112, 168), (224, 140), (280, 280), (448, 224))
BUDGETS = (("model", None), ("model", "0.25"), ("model", "2"), ("model@0.1", None))
PICTURES = 12
"""Of each size."""
OPTIONS = ["--dtype", "float32", "--max-model-len", "512", "--max-num-seqs", "32", "--enforce-eager"]
OPTIONS += ["--gpu-memory-utilization", "0.1", "--block-size", "32", "--num-gpu-blocks-override", "512"]
OPTIONS += ["--mm-processor-cache-gb", "0.02", "--disable-uvicorn-access-log", "--served-model-name", "model"]
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",  # a client that waits for the processor is none that has gone
}


@dataclass
class Load:
    """What came of it.

    Attributes:
        requests: Answered under load.
        errors: Answers of another status, by what they said.
        different: Answers with other tokens or counts than alone.
        distinct: Requests that differ.
        seconds: How long it ran.
        memory: Bytes of all processes, at each look.
    """

    distinct: int
    seconds: float = 0
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)

    def minutes(self) -> list[int]:
        """Memory in MiB at every full minute."""
        looks = [
            min(self.memory, key=lambda look: abs(look[0] - at)) for at in range(0, round(self.seconds), 60)
        ]
        return [size >> 20 for _, size in looks]


def requests() -> list[dict[str, Any]]:
    """All distinct requests, as arguments of a POST."""
    found = []
    for seed, (size, (model, keep)) in enumerate(itertools.product(SIZES * PICTURES, BUDGETS)):
        url = picture(seed // len(BUDGETS), *size)
        body = {
            "model": model,
            "messages": [{"role": "user", "content": content(url)}],
            "max_tokens": 8,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        found.append({"json": body, "headers": {} if keep is None else {"X-APET-Keep": keep}})
    return found


async def ask(client: Any, request: dict[str, Any]) -> tuple[str, Any]:
    """What went wrong, and the answer: its tokens, the prompt's length, visual tokens before and after."""
    import httpx

    try:
        response = await client.post("/v1/chat/completions", **request)
    except httpx.HTTPError as error:
        return repr(error), None
    if response.status_code != 200:
        return response.text, None
    body = response.json()
    counts = [response.headers.get(f"x-apet-tokens-{which}") for which in ("before", "after")]
    return "", (body["choices"][0]["token_ids"], body["usage"]["prompt_tokens"], counts)


def memory(session: int) -> int:
    """Resident bytes of all processes of a session."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == session:
                total += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):  # it ended meanwhile
            continue
    return total


async def run(address: str, session: int, clients: int, seconds: float) -> Load:
    """Asks every request alone, then has the clients ask at random until the time is over."""
    import httpx

    every = requests()
    load = Load(len(every))
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=httpx.Limits()) as client:
        alone = []
        for request in every:
            wrong, answer = await ask(client, request)
            if wrong:
                raise SystemExit(f"alone: {wrong}")
            alone.append(answer)
        print(f"{len(every)} requests asked alone; {len({str(one[0]) for one in alone})} answers", flush=True)
        begin = time.monotonic()

        async def visit(seed: int) -> None:
            choose = random.Random(seed)
            while time.monotonic() - begin < seconds:
                number = choose.randrange(len(every))
                wrong, answer = await ask(client, every[number])
                load.requests += 1
                if wrong:
                    load.errors.append(f"at {time.monotonic() - begin:.0f} s: {wrong}")
                    await asyncio.sleep(1)
                elif answer != alone[number]:
                    load.different.append(f"{number}: {answer}; alone {alone[number]}")

        async def look() -> None:
            while time.monotonic() - begin < seconds:
                load.memory.append((time.monotonic() - begin, memory(session)))
                await asyncio.sleep(min(5.0, seconds / 20))

        await asyncio.gather(look(), *(visit(seed) for seed in range(clients)))
        load.seconds = time.monotonic() - begin
    return load


def main() -> None:
    """Runs it, prints a row of the documentation's table, and fails where something was wrong."""
    from tests.vllm.tiny import save

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--plain", action="store_true", help="vLLM without apet")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--log", type=Path, help="file for what the server prints")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save("qwen2_5_vl", folder / "model")
        command = ["apet.app.main", "serve", str(folder / "model"), "--keep", "0.5", "--budgets", "0.1"]
        if arguments.plain:
            command = ["vllm.entrypoints.launchers.api_server.entry", "--model", str(folder / "model")]
            OPTIONS.append("model@0.1")
        with running([*command, *OPTIONS], arguments.log or folder / "log", ENVIRONMENT) as (
            address,
            session,
        ):
            load = asyncio.run(run(address, session, arguments.clients, arguments.minutes * 60))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(load), indent=1) + "\n", encoding="utf-8")
    print(
        f"{machine()}: {arguments.clients} clients, {load.seconds:.0f} s, {load.distinct} distinct requests"
    )
    print(
        f"{load.requests} answers ({load.requests / load.seconds:.1f} a second), {len(load.errors)} errors, "
        f"{len(load.different)} different; MiB at every minute: {', '.join(map(str, load.minutes()))}"
    )
    for text in (*load.errors[:3], *load.different[:3]):
        print(text)
    if load.errors or load.different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
