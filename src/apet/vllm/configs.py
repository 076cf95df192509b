"""What vLLM does to a config by its architecture, done under our names too; and asking for positions."""

from __future__ import annotations

from typing import Any

from apet.vllm.settings import keep_of_environment, server_method


def hook(name: str, architecture: str) -> None:
    """Has vLLM treat a config of one name as it does one of another, and number kept tokens as asked for.

    Args:
        name: The architecture that a config names.
        architecture: vLLM's own.
    """
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP, VerifyAndUpdateConfig

    hooked: Any = MODELS_CONFIG_MAP.get(architecture, VerifyAndUpdateConfig)
    if hasattr(hooked, "apet_theirs"):
        hooked = hooked.apet_theirs

    class Hooks(hooked):  # type: ignore[misc]
        apet_theirs = hooked

        @staticmethod
        def verify_and_update_model_config(model_config: Any) -> None:
            hooked.verify_and_update_model_config(model_config)
            _ask_for_positions(model_config)

    MODELS_CONFIG_MAP[name] = Hooks


def _ask_for_positions(model_config: Any) -> None:
    """VLLM asks models for positions where the config has an M-RoPE section.

    At the top of the config the language model does not see it, and keeps its ordinary rotary embedding; of
    the three axes it is then given one.
    """
    config = model_config.hf_config
    plain = getattr(config, "apet", None) is None and keep_of_environment() is None
    if not plain and server_method(config).positions == "own" and not model_config.uses_mrope:
        config.mrope_section = [1, 1, 1]
