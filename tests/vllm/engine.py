"""Runs an engine in a process of its own, which a test can kill: vLLM may hang after an error.

Each is forked from one process that has imported vLLM, since importing takes longer than answering. A plan
names a model's folder, the engine's options and rounds of requests; those of a round run together.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
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
    "OMP_NUM_THREADS": "1",
}
NEW_TOKENS = 8
OPTIONS: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 1024,
    "max_num_seqs": 8,
    "limit_mm_per_prompt": {"image": 2, "video": 1},
    "gpu_memory_utilization": 0.1,
    "block_size": 32,
    "seed": 0,
    "disable_log_stats": False,
}

os.environ.update(ENVIRONMENT)  # before the process that the others are forked from starts
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["vllm.entrypoints.llm", "vllm.v1.engine.async_llm", "vllm.v1.worker.cpu_worker", "tests.vllm.processing"]
)


def request(
    prompt: str, images: Sequence[list[int]] = (), videos: Sequence[list[int]] = (), **options: Any
) -> dict[str, Any]:
    """A request: pictures as ``[seed, width, height]``, videos as ``[seed, frames, side]``.

    May be added: the folder of an ``adapter``, a ``regex`` for the answer, the ``rank`` that is to answer.
    """
    return {"prompt": prompt, "images": list(images), "videos": list(videos), "options": options}


def run(
    folder: Path,
    rounds: list[list[dict[str, Any]]],
    seconds: int = 300,
    environment: dict[str, str] | None = None,
    tokens: int = NEW_TOKENS,
    stream: bool = False,
    **engine: Any,
) -> list[list[dict[str, Any]]]:
    """Answers the rounds, or fails once the seconds are over.

    Args:
        folder: The model.
        rounds: Requests.
        seconds: How long it may take.
        environment: Variables of the engine's processes.
        tokens: Length of an answer.
        stream: Ask the engine of servers, piece by piece.
        engine: vLLM's options.
    """
    plan = {
        "model": str(folder),
        "engine": OPTIONS | engine,
        "rounds": rounds,
        "tokens": tokens,
        "stream": stream,
    }
    own = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} | (environment or {})
    with tempfile.TemporaryDirectory() as place:
        answers, log = Path(place, "answers"), Path(place, "log")
        process = _FORKS.Process(target=_child, args=(plan, own, answers, log))
        process.start()
        try:
            process.join(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join(30)
        good = process.exitcode == 0 and answers.exists()
        assert good, log.read_text(encoding="utf-8", errors="replace")[-6000:]
        found: list[list[dict[str, Any]]] = json.loads(answers.read_text(encoding="utf-8"))
        return found


def _child(plan: dict[str, Any], environment: dict[str, str], answers: Path, log: Path) -> None:
    os.setsid()  # so that what it starts ends with it
    with log.open("wb") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    code = 1
    try:
        from vllm.model_executor.models import registry

        registry._run_in_subprocess = lambda look: look()  # it would import vLLM anew
        found = asyncio.run(_streamed(plan)) if plan["stream"] else _answered(plan)
        answers.write_text(json.dumps(found), encoding="utf-8")
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)  # an engine may hang when it is taken down


def _answered(plan: dict[str, Any]) -> list[list[dict[str, Any]]]:
    from vllm import LLM

    llm = LLM(plan["model"], **plan["engine"])
    kind = llm.llm_engine.model_config.hf_config.model_type
    rounds = []
    for requests in plan["rounds"]:
        outputs = llm.generate(
            [_prompt(one, kind) for one in requests],
            [_sampling(one, plan["tokens"]) for one in requests],
            use_tqdm=False,
            lora_request=_adapters(requests),
        )
        counted = _counted(llm)
        rounds.append([_answer([output]) | {"counted": counted} for output in outputs])
    return rounds


async def _streamed(plan: dict[str, Any]) -> list[list[dict[str, Any]]]:
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    from vllm import AsyncEngineArgs

    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=plan["model"], **plan["engine"]))

    async def ask(one: dict[str, Any], name: str) -> dict[str, Any]:
        sampling = _sampling(one, plan["tokens"])
        sampling.output_kind = RequestOutputKind.DELTA
        prompt = _prompt(one, engine.model_config.hf_config.model_type)
        pieces = engine.generate(prompt, sampling, name, data_parallel_rank=one.get("rank"))
        return _answer([piece async for piece in pieces])

    rounds = []
    for number, requests in enumerate(plan["rounds"]):
        asked = [ask(one, f"{number}.{place}") for place, one in enumerate(requests)]
        rounds.append(await asyncio.gather(*asked))
    return rounds


def _sampling(one: dict[str, Any], tokens: int) -> Any:
    from vllm.sampling_params import StructuredOutputsParams

    from vllm import SamplingParams

    rule = StructuredOutputsParams(regex=one["regex"]) if "regex" in one else None
    return SamplingParams(
        temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, structured_outputs=rule
    )


def _adapters(requests: list[dict[str, Any]]) -> list[Any] | None:
    from vllm.lora.request import LoRARequest

    folders = [one.get("adapter") for one in requests]
    return [folder and LoRARequest("adapter", 1, folder) for folder in folders] if any(folders) else None


def _prompt(one: dict[str, Any], kind: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if one["images"]:
        data["image"] = [picture(*numbers) for numbers in one["images"]]
    if one["videos"]:
        videos = [film(*numbers) for numbers in one["videos"]]
        data["video"] = videos if kind.startswith(TIMED) else [pixels for pixels, _ in videos]
    return {"prompt": one["prompt"], "multi_modal_data": data, "mm_processor_kwargs": one["options"] or None}


def _answer(pieces: list[Any]) -> dict[str, Any]:
    parts = [piece.outputs[0] for piece in pieces]
    tokens = [token for part in parts for token in part.token_ids]
    steps = [step for part in parts for step in part.logprobs]
    return {
        "prompt": list(pieces[0].prompt_token_ids),
        "tokens": tokens,
        "logprobs": [step[token].logprob for token, step in zip(tokens, steps, strict=True)],
        "cached": pieces[0].num_cached_tokens,
        "pieces": len(pieces),
    }


def _counted(llm: Any) -> dict[str, int]:
    """What the engine counted so far, and the graphs that were compiled."""
    from torch._dynamo.utils import counters

    found = {"graphs": counters["stats"]["unique_graphs"]}
    for metric in llm.get_metrics():
        if isinstance(getattr(metric, "value", None), int):
            found[metric.name.removeprefix("vllm:")] = metric.value
    return found
