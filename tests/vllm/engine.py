"""Runs an engine in a process of its own, which a test can kill: vLLM may hang after an error.

    python -m tests.vllm.engine < plan.json

The plan names a model's folder, the engine's options and rounds of requests; those of a round run together.
The last line of the output is the answers, in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.vllm.processing import TIMED, film, picture

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
}
ANSWERS = "answers: "
NEW_TOKENS = 8


def request(
    prompt: str, images: list[list[int]] = (), videos: list[list[int]] = (), **options: Any
) -> dict[str, Any]:
    """A request: pictures as ``[seed, width, height]``, videos as ``[seed, frames, side]``.

    The folder of an adapter may be added as ``adapter``.
    """
    return {"prompt": prompt, "images": list(images), "videos": list(videos), "options": options}


def run(
    folder: Path,
    rounds: list[list[dict[str, Any]]],
    seconds: int = 300,
    environment: Any = None,
    **engine: Any,
) -> list[list[dict[str, Any]]]:
    """Answers the rounds, or fails once the seconds are over."""
    plan = json.dumps({"model": str(folder), "engine": engine, "rounds": rounds})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.vllm.engine"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} | (environment or {}),
        start_new_session=True,  # so that what it starts ends with it
    )
    try:
        output, errors = process.communicate(plan, timeout=seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    lines = [line for line in output.splitlines() if line.startswith(ANSWERS)]
    failed = process.returncode != 0 or not lines
    assert not failed, output[-3000:] + errors[-3000:]
    return json.loads(lines[-1].removeprefix(ANSWERS))


def _main() -> None:
    from vllm import LLM, SamplingParams

    plan = json.load(sys.stdin)
    options = {
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 1024,
        "max_num_seqs": 8,
        "limit_mm_per_prompt": {"image": 2, "video": 1},
        "gpu_memory_utilization": 0.1,
        "block_size": 32,
        "seed": 0,
    }
    llm = LLM(plan["model"], **options | plan["engine"])
    sampling = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True, logprobs=0)
    answers = []
    for requests in plan["rounds"]:
        outputs = llm.generate(
            [_prompt(one, llm) for one in requests],
            sampling,
            use_tqdm=False,
            lora_request=_adapters(requests),
        )
        answers.append([_answer(output) for output in outputs])
    print(ANSWERS + json.dumps(answers), flush=True)
    os._exit(0)  # an engine may hang when it is taken down


def _adapters(requests: list[dict[str, Any]]) -> list[Any] | None:
    from vllm.lora.request import LoRARequest

    folders = [one.get("adapter") for one in requests]
    return [folder and LoRARequest("adapter", 1, folder) for folder in folders] if any(folders) else None


def _prompt(one: dict[str, Any], llm: Any) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if one["images"]:
        data["image"] = [picture(*numbers) for numbers in one["images"]]
    if one["videos"]:
        videos = [film(*numbers) for numbers in one["videos"]]
        timed = llm.llm_engine.model_config.hf_config.model_type.startswith(TIMED)
        data["video"] = videos if timed else [pixels for pixels, _ in videos]
    return {"prompt": one["prompt"], "multi_modal_data": data, "mm_processor_kwargs": one["options"] or None}


def _answer(output: Any) -> dict[str, Any]:
    best = output.outputs[0]
    chosen = [step[token].logprob for token, step in zip(best.token_ids, best.logprobs, strict=True)]
    return {
        "prompt": list(output.prompt_token_ids),
        "tokens": list(best.token_ids),
        "logprobs": chosen,
        "cached": output.num_cached_tokens,
    }


if __name__ == "__main__":
    _main()
