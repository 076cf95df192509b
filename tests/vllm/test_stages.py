"""Two pipeline stages answer as one does: the second one has the kept tokens' own positions, too."""

import os

import pytest

from tests.vllm.engine import run
from tests.vllm.processing import overrides
from tests.vllm.tables import requests_of
from tests.vllm.test_engine import same

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


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_two_stages_are_as_one(checkpoint, eager_stages, name):
    asked = [[one] for one in requests_of(name).values()]
    options = {"hf_overrides": overrides(name, keep=0.5), "max_model_len": 512}
    whole = run(checkpoint(name), asked, **options)
    staged = run(
        checkpoint(name),
        asked,
        environment=eager_stages,
        pipeline_parallel_size=2,
        distributed_executor_backend="mp",
        **options,
    )
    for (one,), (other,) in zip(whole, staged, strict=True):
        same(other, one)
