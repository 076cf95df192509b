"""Several processes answer as one does, which is compared with transformers elsewhere."""

import os

import pytest

from tests.vllm.engine import run
from tests.vllm.tables import longer, requests_of
from tests.vllm.test_engine import quick, same

NAMES = ["llava", "qwen2_5_vl"]
"""Rotary positions of one axis, and of three."""
EAGER = """
def register():
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    inner = GPUModelRunner.sync_and_gather_intermediate_tensors

    def sync(self, *arguments, **options):
        if self.intermediate_tensors is None:
            self.intermediate_tensors = self.model.make_empty_intermediate_tensors(
                batch_size=self.max_num_tokens, dtype=self.model_config.dtype, device=self.device
            )
        return inner(self, *arguments, **options)

    GPUModelRunner.sync_and_gather_intermediate_tensors = sync
"""
"""vLLM 0.32 cannot start a second stage on a CPU without this: a plugin of its own, for each process."""


@pytest.fixture
def eager_stages(tmp_path):
    folder = tmp_path / "eager_stages-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: eager_stages\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("[vllm.general_plugins]\neager = eager_stages:register\n")
    (tmp_path / "eager_stages.py").write_text(EAGER)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def as_one(name, checkpoint, once, **options):
    asked = [[one] for one in requests_of(name).values()]
    whole = once(name, asked, **longer(name))
    for (one,), (other,) in zip(whole, run(checkpoint(name), asked, **longer(name), **options), strict=True):
        same(other, one)


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_tensors_in_two_processes(checkpoint, once, name):
    as_one(name, checkpoint, once, tensor_parallel_size=2, distributed_executor_backend="mp")


@pytest.mark.parametrize("name", NAMES)
def test_two_stages(checkpoint, once, eager_stages, name):
    """The second one has the kept tokens' own positions, too."""
    options = {"pipeline_parallel_size": 2, "distributed_executor_backend": "mp"}
    as_one(name, checkpoint, once, environment=eager_stages, **options)


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_two_engines(checkpoint, once, name):
    """Each answers everything; neither knows the other's cache."""
    asked = list(requests_of(name).values())
    whole = once(name, [[one] for one in asked], **longer(name))
    rounds = [[one | {"rank": rank} for one in asked] for rank in (0, 1, 1)]
    first, second, again = run(
        checkpoint(name),
        rounds,
        stream=True,
        data_parallel_size=2,
        **longer(name) | {"enable_prefix_caching": True},
    )
    for (one,), *others in zip(whole, first, second, again, strict=True):
        for other in others:
            same(other, one)
    assert sum(one["cached"] for one in second) <= sum(one["cached"] for one in first)
    assert sum(one["cached"] for one in again) > sum(one["cached"] for one in second)
