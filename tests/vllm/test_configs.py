"""What vLLM decides by an architecture's or a class's name is the same with and without compression."""

import dataclasses

import pytest

from apet.vllm import plugin
from tests.vllm.processing import NAMES, overrides

OURS = {"hf_config", "hf_text_config", "hf_overrides", "model_arch_config", "_architecture", "instance_id"}
"""Fields that hold what was asked for, or a number drawn by chance."""
CHANGES = {"qwen3_5": {"text_config": {"mamba_ssm_dtype": "bfloat16"}}}
CHANGES["qwen3_5_moe"] = CHANGES["qwen3_5"]
"""Fields that vLLM's hooks read, set to something else than what the platform chooses by itself."""


@pytest.fixture
def vllm_as_it_was(monkeypatch):
    """Undoes what is registered, and looks at classes in this process rather than in one each."""
    from vllm.model_executor.models import registry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from vllm import ModelRegistry

    monkeypatch.setattr(registry, "_run_in_subprocess", lambda look: look())
    monkeypatch.setattr(ModelRegistry, "models", dict(ModelRegistry.models))
    before = dict(MODELS_CONFIG_MAP)
    yield MODELS_CONFIG_MAP
    MODELS_CONFIG_MAP.clear()
    MODELS_CONFIG_MAP.update(before)


def plain(value):
    """A config as plain values, without what is ours."""
    if dataclasses.is_dataclass(value):
        return {
            name: plain(inner)
            for name, inner in vars(value).items()
            if name not in OURS and not name.startswith(("_model_info", "__"))
        }
    return repr(value)


def decided(folder, name, own):
    from vllm.engine.arg_utils import EngineArgs

    config = EngineArgs(
        model=str(folder),
        dtype="bfloat16",
        max_model_len=1024,
        hf_overrides=own | CHANGES.get(name, {}),
        trust_remote_code=name == "internvl_chat",
    ).create_engine_config()
    return plain(config), config.model_config


@pytest.mark.parametrize("name", NAMES)
def test_engine_configs_are_vllm_s(checkpoint, vllm_as_it_was, monkeypatch, name):
    folder = checkpoint(name)
    monkeypatch.delenv("APET_KEEP", raising=False)
    called = []
    theirs = vllm_as_it_was.get(NAMES[name])
    want, model = decided(folder, name, {})
    if theirs is not None:
        inner = theirs.verify_and_update_config
        monkeypatch.setattr(
            theirs, "verify_and_update_config", staticmethod(lambda c: (called.append(c), inner(c)))
        )
    plugin.register()
    served, with_positions = decided(folder, name, overrides(name, keep=0.25))
    contiguous, without = decided(folder, name, overrides(name, keep=0.25, positions="contiguous"))
    monkeypatch.setenv("APET_KEEP", "0.25")
    plugin.register()
    taken, _ = decided(folder, name, {})
    assert served == contiguous == taken == want
    assert with_positions.uses_mrope
    assert without.uses_mrope == model.uses_mrope
    assert len(called) == (3 if theirs is not None else 0)
    assert "mrope_section" not in vars(model.hf_config)
    from vllm import ModelRegistry

    (known, _), (ours, _) = (
        ModelRegistry.resolve_model_cls([architecture], model)
        for architecture in (NAMES[name], plugin.PREFIX + NAMES[name])
    )
    assert known is ours
    bases = [base for base in ours.__mro__ if base.__module__.startswith("vllm.")]
    assert ours.__name__ == bases[0].__name__


def test_every_architecture_has_a_tiny_model():
    assert set(NAMES.values()) == set(plugin.ARCHITECTURES)
