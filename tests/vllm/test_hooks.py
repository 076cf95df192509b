"""Every private method of vLLM that is overridden still exists, and is still called the same way."""

import importlib
import inspect

import pytest

import vllm
from apet.vllm.model import CompressingModel
from apet.vllm.mrope import MropeModel, MropeProcessor
from apet.vllm.plugin import ARCHITECTURES
from apet.vllm.release import SUPPORTED, problem_with
from apet.vllm.runner import patch_runners

PROCESSOR = (
    "_get_mm_hashes",
    "_apply_hf_processor_main",
    "_get_mm_fields_config",
    "_get_mm_prompt_updates",
)
MROPE_PROCESSOR = ("apply", "get_dummy_mm_inputs")
MROPE = (
    "_postprocess_image_embeds_evs",
    "_postprocess_video_embeds_evs",
    "get_mrope_input_positions",
    "recompute_mrope_positions",
)


def theirs(cls, name):
    """The method as the class would have it without compression."""
    for base in cls.__mro__:
        if base.__module__.startswith("vllm.") and name in vars(base):
            return vars(base)[name]
    raise AssertionError(f"vLLM's {cls.__mro__[2].__name__} has no {name}")


def test_this_release_is_supported():
    assert problem_with(vllm.__version__) is None, f"{vllm.__version__} is not {SUPPORTED}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hooks_fit(architecture):
    module, name = ARCHITECTURES[architecture].split(":")
    cls = getattr(importlib.import_module(module), name)
    assert issubclass(cls, CompressingModel)
    parts = cls._processor_factory
    hooks = [(parts.processor, hook) for hook in PROCESSOR]
    hooks += [(parts.info, "get_mm_max_tokens_per_item"), (cls, "embed_multimodal")]
    if issubclass(cls, MropeModel):
        assert issubclass(parts.processor, MropeProcessor)
        hooks += [(cls, hook) for hook in MROPE] + [(parts.processor, hook) for hook in MROPE_PROCESSOR]
    for owner, hook in hooks:
        own = getattr(owner, hook)
        assert own.__module__.startswith("apet."), f"{owner.__name__}.{hook} is not ours"
        want = list(inspect.signature(theirs(owner, hook)).parameters)
        have = inspect.signature(own).parameters
        if not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in have.values()):
            flexible = [one.name for one in have.values() if one.kind is inspect.Parameter.VAR_KEYWORD]
            assert len(have) == len(want) or flexible, f"{hook}{tuple(want)} became {tuple(have)}"


def test_the_cpu_runner_asks_the_model():
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    assert "is_multimodal_pruning_enabled" in inspect.getsource(GPUModelRunner)
    patch_runners(100)
    patch_runners(100)
    runner = CPUModelRunner.__new__(CPUModelRunner)
    runner.is_multimodal_pruning_enabled = False
    assert runner.is_multimodal_pruning_enabled is False
    runner.model = type("Model", (), {"is_multimodal_pruning_enabled": True})()
    assert runner.is_multimodal_pruning_enabled is True
