"""Whether `apet serve` with the embedded model answers as well as `apet eval`.

    python -m benchmarks.serving_accuracy [--keep 192,128,64,32] [--questions 200] [--json FILE]

Both get the first questions of every task that the model was trained for, as `apet eval` draws them. Run it
in an environment with vLLM, such as the one of `make test-vllm`. It fails if the server answers fewer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.server import serving

from apet import ApET, embedded
from apet.evaluation.plain import LONGEST_ANSWER, answer_plainly
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case, default_tasks, draw_cases

TOGETHER = 8
OPTIONS = ["--max-model-len", "1024", "--max-num-seqs", "16"]
OPTIONS += ["--gpu-memory-utilization", "0.1", "--enforce-eager"]


def under_transformers(cases: Sequence[Case], keep: int) -> list[str]:
    """The library's answers."""
    model, processor = embedded.load()
    subject = Subject("embedded", model, processor, embedded=True)
    return [reply.answers[0] for reply in answer_plainly(subject, cases, ApET(keep))]


async def served(cases: Sequence[Case], address: str) -> list[str]:
    """The server's answers."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=600, max_retries=0)
    gate = asyncio.Semaphore(TOGETHER)

    async def ask(case: Case) -> str:
        buffer = io.BytesIO()
        case.pictures()[0].save(buffer, "PNG")
        url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        picture = {"type": "image_url", "image_url": {"url": url}}
        content: Any = [picture, {"type": "text", "text": case.turns[0]}]
        async with gate:
            response = await client.chat.completions.create(
                model="model",
                messages=[{"role": "user", "content": content}],
                max_tokens=LONGEST_ANSWER,
                temperature=0,
            )
        return response.choices[0].message.content or ""

    async with client:
        return list(await asyncio.gather(*(ask(case) for case in cases)))


def main() -> None:
    """Asks both at every budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--keep", default="192,128,64,32", type=lambda text: [int(k) for k in text.split(",")]
    )
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tasks = default_tasks(embedded=True)
    cases = draw_cases(tasks, math.ceil(arguments.questions / len(tasks)))[: arguments.questions]
    rows = []
    for keep in arguments.keep:
        library = under_transformers(cases, keep)
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(None, keep, OPTIONS, Path(folder) / "log") as address,
        ):
            server = asyncio.run(served(cases, address))
        right = [
            sum(case.score([a]) for case, a in zip(cases, given, strict=True)) for given in (library, server)
        ]
        same = sum(a.strip() == b.strip() for a, b in zip(library, server, strict=True))
        rows.append(
            {"keep": keep, "questions": len(cases), "library": right[0], "server": right[1], "same": same}
        )
        print(
            f"keep {keep}: of {len(cases)} questions transformers answers {right[0]:.0f} rightly and "
            f"the server {right[1]:.0f}; {same} answers are the same",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if any(row["server"] < row["library"] for row in rows):
        raise SystemExit("the server answers fewer rightly")


if __name__ == "__main__":
    main()
