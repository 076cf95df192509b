"""Requests per second and time to first token of `apet serve`, with and without compression.

    python -m benchmarks.serving [--model FOLDER_OR_ID] [--keep 0.25] [--concurrency 1,4,16] [--requests 16]
                                 [--rounds 2] [--json FILE] [--markdown FILE] [-- vLLM OPTIONS]

Both servers are the same class of model; the uncompressed one keeps everything (``--keep 1.0``), which the
tests hold equal to vLLM's own. They run one after the other, in alternating rounds, and figures are ratios of
one run. Before anything is timed, both are checked: an answer is the same when it is asked for twice, and
with the random model its log-probabilities and the prompt's length are those of transformers under the same
method. Every request has a picture of its own, so that no cache answers, and asks for a few tokens, since
prefill is what compression shortens.

Without ``--model`` a LLaVA with random weights is made, of some 350 million parameters and 576 tokens per
picture: large enough for prefill to matter on a CPU. On a GPU:

    python -m benchmarks.serving --model llava-hf/llava-1.5-7b-hf
    python -m benchmarks.serving --model Qwen/Qwen2.5-VL-7B-Instruct --side 672
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import content, machine, picture, serving
from benchmarks.serving_model import check, random_llava


@dataclass(frozen=True)
class Round:
    """What one server did at one concurrency.

    Attributes:
        per_second: Requests per second.
        first_token: Median time to the first token, in seconds.
        prompt: Tokens of a prompt.
    """

    per_second: float
    first_token: float
    prompt: int


async def load(address: str, pictures: list[str], concurrency: int, tokens: int) -> Round:
    """Asks about every picture, so many at a time."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=600, max_retries=0)
    gate = asyncio.Semaphore(concurrency)
    firsts: list[float] = []
    prompts: list[int] = []

    async def one(url: str) -> None:
        async with gate:
            begin = time.perf_counter()
            stream = await client.chat.completions.create(
                model="model",
                messages=[{"role": "user", "content": content(url)}],  # type: ignore[typeddict-item,list-item]
                max_tokens=tokens,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )
            first = None
            async for part in stream:
                if first is None and part.choices:
                    first = time.perf_counter() - begin
                if part.usage is not None:
                    prompts.append(part.usage.prompt_tokens)
            firsts.append(first or time.perf_counter() - begin)

    begin = time.perf_counter()
    async with client:
        await asyncio.gather(*(one(url) for url in pictures))
    seconds = time.perf_counter() - begin
    return Round(len(pictures) / seconds, statistics.median(firsts), prompts[0])


def measure(arguments: argparse.Namespace, model: str, folder: Path) -> dict[str, Any]:
    """Alternates between the two servers, and sums up."""
    found: dict[tuple[float, int], list[Round]] = {}
    seed = 0
    for number in range(arguments.rounds):
        both = (1.0, arguments.keep)
        for keep in both if number % 2 == 0 else both[::-1]:
            log = folder / f"server-{number}-{keep}.log"
            with serving(model, keep, arguments.options, log) as address:
                if number == 0:
                    check(address, arguments, model, keep)
                warm = [picture(-seed - 1 + 10**6, arguments.side) for seed in range(2)]
                asyncio.run(load(address, warm, 2, arguments.tokens))
                for concurrency in arguments.concurrency:
                    urls = [picture(seed + n, arguments.side) for n in range(arguments.requests)]
                    seed += arguments.requests
                    result = asyncio.run(load(address, urls, concurrency, arguments.tokens))
                    found.setdefault((keep, concurrency), []).append(result)
    rows = []
    for concurrency in arguments.concurrency:
        plain, short = found[1.0, concurrency], found[arguments.keep, concurrency]
        rate = [statistics.median(r.per_second for r in rounds) for rounds in (plain, short)]
        first = [statistics.median(r.first_token for r in rounds) for rounds in (plain, short)]
        rows.append(
            {
                "concurrency": concurrency,
                "prompt": [plain[0].prompt, short[0].prompt],
                "per_second": rate,
                "first_token": first,
                "throughput_ratio": spread(
                    [b.per_second / a.per_second for a, b in zip(plain, short, strict=True)]
                ),
                "first_token_ratio": spread(
                    [a.first_token / b.first_token for a, b in zip(plain, short, strict=True)]
                ),
            }
        )
    return {
        "model": arguments.model or "random LLaVA",
        "keep": arguments.keep,
        "machine": machine(),
        "rounds": arguments.rounds,
        "requests": arguments.requests,
        "tokens": arguments.tokens,
        "rows": rows,
    }


def spread(values: list[float]) -> list[float]:
    """Median, lowest and highest."""
    return [statistics.median(values), min(values), max(values)]


def markdown(result: dict[str, Any]) -> str:
    """The table for the documentation: ratios alone, and what they were measured on."""
    lines = [
        f"{result['model']}, `keep={result['keep']}`, on {result['machine']}; "
        f"the median of {result['rounds']} rounds of each server, and the lowest and highest.",
        "",
        "| requests at a time | tokens of a prompt | requests per second | time to first token |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        rate, first = (
            f"{m:.2f} x ({low:.2f} to {high:.2f})"
            for m, low, high in (row["throughput_ratio"], row["first_token_ratio"])
        )
        prompt = " to ".join(map(str, row["prompt"]))
        lines.append(f"| {row['concurrency']} | {prompt} | {rate} | {first} shorter |")
    return "\n".join(lines) + "\n"


def parse(given: list[str]) -> argparse.Namespace:
    """Reads the arguments; those behind ``--`` are vLLM's."""
    own, options = (
        (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    )
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", help="model id or folder; a random LLaVA if not given")
    parser.add_argument("--keep", type=float, default=0.25, help="share of the visual tokens")
    parser.add_argument("--concurrency", default="1,4,16", help="requests at a time")
    parser.add_argument("--requests", type=int, default=16, help="requests per concurrency and round")
    parser.add_argument("--rounds", type=int, default=2, help="times each server is started")
    parser.add_argument("--tokens", type=int, default=8, help="tokens of every answer")
    parser.add_argument("--side", type=int, default=336, help="side of the square pictures, in pixels")
    parser.add_argument("--close", type=float, help="largest difference of log-probabilities in the check")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--markdown", type=Path, help="file for the table of ratios")
    arguments = parser.parse_args(own)
    arguments.concurrency = [int(text) for text in arguments.concurrency.split(",")]
    arguments.options = options
    if arguments.close is None:  # a model given is run in half precision, whose sums depend on the batch
        arguments.close = 1e-3 if arguments.model is None else 0.1
    return arguments


def main() -> None:
    """Runs it and prints a table."""
    arguments = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = arguments.model
        if model is None:
            model = str(folder / "model")
            random_llava(folder / "model")
            arguments.options = ["--dtype", "float32", "--max-model-len", "1024", *arguments.options]
        result = measure(arguments, model, folder)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(result), encoding="utf-8")
    print(
        f"{result['model']}, keep {result['keep']}, {result['machine']}; medians of {result['rounds']} rounds"
    )
    print(
        f"{'at a time':>9} {'prompt':>12} {'requests/s':>16} {'ratio':>6} {'first token, s':>18} {'ratio':>6}"
    )
    for row in result["rows"]:
        print(
            f"{row['concurrency']:>9} {row['prompt'][0]:>5} > {row['prompt'][1]:<4}"
            f" {row['per_second'][0]:>7.2f} > {row['per_second'][1]:<6.2f}"
            f" {row['throughput_ratio'][0]:>6.2f}"
            f" {row['first_token'][0]:>8.2f} > {row['first_token'][1]:<7.2f}"
            f" {row['first_token_ratio'][0]:>6.2f}"
        )


if __name__ == "__main__":
    main()
