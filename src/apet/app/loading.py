"""Models and processors by id or folder: safetensors only, no remote code unless asked for."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Any

from apet.app.command import typed
from apet.app.files import expanded
from apet.core.errors import ApETError
from apet.core.words import counted, one_of
from apet.embedded.reference import NAME, locate
from apet.hf.families import FAMILIES

_EXPECTED = "a model id that can be reached or is in the local cache, or a folder with safetensors weights"


def load_model(name: str | None, *, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """A model in evaluation mode, and its processor: by id, folder or ``"dinov2"``, or the embedded one.

    The configuration is read first, so an unsupported type is refused before any weights are fetched. Models
    go to the GPU in their own dtype where there is one, else to the CPU in float32.
    """
    import torch
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # bars are for eyes, not for logs
    if name is None or name == NAME:
        from apet import embedded

        small: Any
        small, reader = embedded.load(name or embedded.PATH)
        return small.to("cuda") if torch.cuda.is_available() else small, reader
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    load_config(name, trust_remote_code=trust_remote_code)
    folder = expanded(name, typed("model", "model"))
    source = str(folder) if folder.is_dir() else name
    gpu = torch.cuda.is_available()
    try:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=trust_remote_code)
        model: Any = AutoModelForImageTextToText.from_pretrained(
            source,
            dtype="auto" if gpu else torch.float32,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ApETError(typed("model", "model"), f"{name} ({_reason(error)})", _EXPECTED) from error
    return model.eval().to("cuda" if gpu else "cpu"), processor


def load_config(name: str | None, *, trust_remote_code: bool = False) -> Any:
    """The configuration of a model that `load_model` takes; no weights are fetched."""
    from transformers import AutoConfig

    if name is None or name == NAME:
        from apet import embedded

        name = str(locate() if name else embedded.PATH)
    folder = expanded(name, typed("model", "model"))
    if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not folder.is_dir():
        raise ApETError(typed("model", "model"), f"{name} (no such folder)", _EXPECTED)
    if not folder.is_dir():
        _check_reachable(name)
    source = str(folder) if folder.is_dir() else name
    try:
        config: Any = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ApETError(typed("model", "model"), f"{name} ({_reason(error)})", _EXPECTED) from error
    if config.model_type not in FAMILIES:
        got = f"model type {config.model_type!r} ({name})"
        raise ApETError(typed("model", "model"), got, one_of(sorted(FAMILIES), config.model_type))
    return config


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _check_reachable(name: str) -> None:
    """Asks once for a model that is not in the local cache; transformers would retry for most of a minute."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
        HfApi().model_info(name, timeout=10)
    except HFValidationError as error:
        raise ApETError(typed("model", "model"), f"{name!r} (no valid model id)", _EXPECTED) from error
    except Exception as error:
        expected = _EXPECTED
        if get_close_matches(name.lower(), (NAME, "embedded"), 1):
            expected += f", or {NAME}; the embedded model is taken where none is named"
        raise ApETError(typed("model", "model"), f"{name} ({_reason(error)})", expected) from error


def context_of(config: Any) -> int | None:
    """Most tokens of a prompt and its answer that a model was made for; None where it does not tell."""
    most = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return most if isinstance(most, int) else None


def check_context(context: int | None, prompt: int, answer: int, operation: str) -> None:
    """Refuses a prompt that a model, of whose `context_of` this is, was not made for.

    Kept tokens have the positions that they had in the whole prompt, so all of it has to fit.
    """
    if context is not None and prompt + answer > context:
        got = f"a prompt of {counted(prompt, 'token')} and {answer:,} for the answer"
        raise ApETError(operation, got, f"at most {context:,} together, the model's context")
