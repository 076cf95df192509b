"""Everything of vLLM that the plugin relies on is as it was; takes seconds, and says what a release broke."""

import ast
import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

import apet.vllm
import vllm
from apet.vllm import hooks
from apet.vllm.model import CompressingModel
from apet.vllm.mrope import MropeModel
from apet.vllm.plugin import ARCHITECTURES
from apet.vllm.release import SUPPORTED, problem_with
from apet.vllm.runner import in_batches, patch_runners
from apet.vllm.unsupported import UNSUPPORTED

OF_SOME = {
    "get_encoder_cudagraph_config",
    "get_mrope_input_positions",
    "recompute_mrope_positions",
    *hooks.MROPE,
}
"""Hooks that not every family's class has; what runners ask of the others, interfaces say."""
SOUND = {
    "AudioFlamingo3ForConditionalGeneration",
    "CohereAsrForConditionalGeneration",
    "FireRedASR2ForConditionalGeneration",
    "FunASRForConditionalGeneration",
    "FunAudioChatForConditionalGeneration",
    "GlmAsrForConditionalGeneration",
    "GraniteSpeechForConditionalGeneration",
    "GraniteSpeechPlusForConditionalGeneration",
    "MiDashengLMModel",
    "MoonshotKimiaForCausalLM",
    "MossAudioModel",
    "MossTranscribeDiarizeForConditionalGeneration",
    "Qwen2AudioForConditionalGeneration",
    "Qwen3ASRForConditionalGeneration",
    "Qwen3ASRRealtimeGeneration",
    "UltravoxModel",
    "VibeVoiceAsrForConditionalGeneration",
    "VoxtralForConditionalGeneration",
    "VoxtralRealtimeGeneration",
    "WhisperForConditionalGeneration",
}
"""Architectures that take sound and no images."""


def found(place):
    """What a place names, ``module:attribute.attribute``."""
    module, _, names = place.partition(":")
    value = importlib.import_module(module)
    for name in names.split("."):
        if not hasattr(value, name) and name in getattr(value, "__annotations__", {}):
            return None
        value = getattr(value, name)
    return value.fget if isinstance(value, property) else value


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def theirs(cls, name):
    """The method as the class would have it without compression; None if there is none."""
    for base in cls.__mro__:
        if base.__module__.startswith("vllm.") and name in vars(base):
            return vars(base)[name]
    return None


def is_ours(cls, name):
    return any(name in vars(base) for base in cls.__mro__ if base.__module__.startswith("apet."))


def test_this_release_is_supported():
    assert problem_with(vllm.__version__) is None, f"{vllm.__version__} is not {SUPPORTED}"


@pytest.mark.parametrize("place", hooks.CALLED)
def test_it_is_there(place):
    value, want = found(place), hooks.CALLED[place].split()
    if want:
        have = list(inspect.signature(value).parameters)
        assert have[: len(want)] == want, f"{place}{tuple(have)}"


@pytest.mark.parametrize("place", hooks.READ)
def test_it_does_what_is_relied_on(place):
    source = " ".join(inspect.getsource(inspect.unwrap(found(place))).split())
    for text in hooks.READ[place]:
        assert text in source, f"{place} has no {text}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_overridden(architecture):
    module, name = ARCHITECTURES[architecture].split(":")
    cls = getattr(importlib.import_module(module), name)
    assert issubclass(cls, CompressingModel)
    parts = cls._processor_factory
    model = hooks.MODEL | (hooks.MROPE if issubclass(cls, MropeModel) else {})
    for owner, named in ((parts.processor, hooks.PROCESSOR), (cls, model)):
        for hook, want in named.items():
            assert is_ours(owner, hook), f"{owner.__name__}.{hook} is not ours"
            original = theirs(owner, hook)
            if original is None:
                assert owner is cls
                assert hook in OF_SOME
                continue
            assert parameters(original)[: len(want.split())] == want.split(), f"{hook}{parameters(original)}"
    assert theirs(parts.info, "get_mm_max_tokens_per_item") is not None


def test_every_architecture_is_served_or_refused_by_name():
    """Of those that take images or videos; what makes embeddings alone is no model for answers."""
    from vllm.model_executor.models.registry import _MULTIMODAL_MODELS, _TRANSFORMERS_SUPPORTED_MODELS

    bridged = {name for name, (_, cls) in _TRANSFORMERS_SUPPORTED_MODELS.items() if "MultiModal" in cls}
    named = {*ARCHITECTURES, *UNSUPPORTED}
    assert {*_MULTIMODAL_MODELS, *bridged} - SOUND == named
    assert not named & SOUND


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_override_is_named(architecture):
    module, name = ARCHITECTURES[architecture].split(":")
    cls = getattr(importlib.import_module(module), name)
    known = {*hooks.MODEL, *hooks.MROPE, *hooks.PROCESSOR, *hooks.FAMILIES}
    for owner in (cls, cls._processor_factory.processor):
        for base in owner.__mro__:
            if base.__module__.startswith("apet."):
                ours = {one for one, value in vars(base).items() if inspect.isfunction(value)}
                shared = {one for one in ours if theirs(owner, one) is not None and one[:2] != "__"}
                assert shared <= known, f"{base.__name__}: {shared - known}"


def test_every_import_is_named():
    """Of the plugin itself; families import the classes that they extend, which importing them tests."""
    named = [*hooks.CALLED, *hooks.READ]
    for path in Path(apet.vllm.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vllm"):
                for alias in node.names:
                    whole = f"{node.module}:{alias.name}", f"{node.module}.{alias.name}:"
                    public = (node.module, alias.name) in {("vllm", "ModelRegistry"), ("vllm", "__version__")}
                    assert public or any(place.startswith(whole) for place in named), (
                        f"{path.name}: {whole[0]}"
                    )


def test_the_cpu_runner_asks_the_model():
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    patch_runners(100)
    patch_runners(100)
    runner = CPUModelRunner.__new__(CPUModelRunner)
    runner.is_multimodal_pruning_enabled = False
    assert runner.is_multimodal_pruning_enabled is False
    runner.model = type("Model", (), {"is_multimodal_pruning_enabled": True})()
    assert runner.is_multimodal_pruning_enabled is True


class Features:
    """A model that writes down what it is told."""

    apet_own = True


def test_both_runners_tell_where_images_lie():
    """The second runner cannot run on a CPU; what it does with a chunk can."""
    from vllm.v1.worker.gpu.model_states.mm_pruning import MultiModalPruner

    patch_runners(100)
    place = PlaceholderRange(offset=3, length=4)
    feature = MultiModalFeatureSpec(data=None, modality="image", identifier="x", mm_position=place)
    model, told = Features(), []

    def recompute(**given):
        told.append((list(model.apet_windows), given))
        return [rows[:, :2] for rows in given["multimodal_embeddings"]], given["mrope_positions"] + 1, 7

    model.recompute_mrope_positions = recompute
    rope = SimpleNamespace(read_prefill_positions=lambda index, length: torch.zeros(3, length).int())
    rope.update_prefill_positions = lambda *given: told.append(given)
    pruner = MultiModalPruner(model, rope, SimpleNamespace(mm_features={"r": [feature]}), 2)
    batch = SimpleNamespace(
        req_ids=["r"],
        idx_mapping_np=torch.tensor([5]).numpy(),
        prefill_len_np=torch.tensor([9]).numpy(),
        num_computed_prefill_tokens_np=torch.tensor([2]).numpy(),
        num_scheduled_tokens=torch.tensor([4]).numpy(),
    )
    states = SimpleNamespace(all_token_ids=SimpleNamespace(gpu=torch.zeros(8, 16).long()))
    (rows,) = pruner.recompute([torch.ones(3, 5)], batch, states)
    assert rows.shape == (3, 2)
    (windows, given), (index, positions, delta) = told
    assert windows == [([feature], 2, 6)]
    assert given["input_ids"].shape == (9,)
    assert (index, positions.tolist(), delta) == (5, [[1] * 9] * 3, 7)


def test_images_are_encoded_in_batches_of_what_the_server_would_keep():
    items = [("image", {"apet_weight": SimpleNamespace(data=weight)}) for weight in (4, 4, 4, 20, 1, 1)]
    items.append(("image", {}))
    assert [len(batch) for batch in in_batches(items, 8)] == [2, 1, 1, 3]
    assert [item for batch in in_batches(items, 8) for item in batch] == items
