"""What was asked for: the server's method, from a model's config or the environment, and a request's budget.

Read in every process of vLLM, so torch is imported only when there is something to check.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from apet.vllm.counts import Count

if TYPE_CHECKING:
    from apet.methods import Method

ENVIRONMENT = "APET_KEEP"
"""Environment variable with a budget for every supported model of the server."""
REQUEST = "apet_keep"
"""Name of a request's own budget in ``mm_processor_kwargs``."""
HEADER = "X-APET-Keep"
"""Header of a request with its own budget."""
_CONFIG = "apet"
# The engine reserves a prompt's tokens before any feature is computed.
_NOT_HERE = ("budget", "max_keep", "min_keep", "stage2", "tolerance")
_EXAMPLE = """--hf-overrides '{"architectures": ["ApET.."], "apet": {"keep": 0.25}}' or APET_KEEP=0.25"""


def keep_of_environment() -> int | float | None:
    """The budget in ``APET_KEEP``: ``64`` is a count and ``0.25`` a share; None if it is not set."""
    text = os.environ.get(ENVIRONMENT)
    return keep_of_text(text, ENVIRONMENT) if text else None


def keep_of_text(text: str, place: str) -> int | float:
    """A budget as it is written: ``64`` is a count and ``0.25`` a share.

    Args:
        text: What was written.
        place: Where, for the error.
    """
    from apet.core import ApETError, check_keep
    from apet.core.words import read_number, shortened

    number = read_number(text)
    if number is None:
        raise ApETError(
            place, repr(shortened(text)), "a number of tokens such as 64, or a share such as 0.25"
        )
    return check_keep(number, place)


def keeps_by_name(names: Iterable[str]) -> dict[str, int | float]:
    """The served names that ask for a budget: ``MODEL@0.25``, where ``MODEL`` is served as well.

    Args:
        names: All names that a server answers to.
    """
    from apet.core.words import read_number

    served = set(names)
    halves = {name: name.rpartition("@") for name in served}
    return {
        name: keep_of_text(text, f"model {name}")
        for name, (model, _, text) in halves.items()
        if model in served and read_number(text) is not None
    }


def server_method(config: Any) -> Method:
    """The method that a server applies.

    Args:
        config: The model's config. Its ``apet`` (from ``--hf-overrides``) holds ``keep`` and, where they are
            to differ from the defaults, other fields of the method; ``"method"`` names another method than
            ApET. Without it, ``APET_KEEP`` counts.

    Raises:
        ApETError: If there is no budget, or a field is unknown, not valid or not for servers.
    """
    from apet.core import ApETError
    from apet.core.words import one_of
    from apet.methods import METHODS

    settings = getattr(config, _CONFIG, None)
    if settings is None:
        keep = keep_of_environment()
        if keep is None:
            raise ApETError("apet.vllm", "a model under compression without a budget", _EXAMPLE)
        settings = {"keep": keep}
    if not isinstance(settings, Mapping) or "keep" not in settings:
        raise ApETError("apet.vllm", f'"apet": {settings!r}', _EXAMPLE)
    options = dict(settings)
    name = options.pop("method", "apet")
    if name not in METHODS:
        raise ApETError("apet.vllm", f"method={name!r}", one_of(sorted(METHODS), str(name)))
    known = {field.name for field in fields(METHODS[name])}.difference(_NOT_HERE)
    unknown = sorted(set(options) - known)
    if unknown:
        raise ApETError("apet.vllm", f"{unknown[0]!r} for {name}", one_of(sorted(known), unknown[0]))
    method = METHODS[name](**options)
    if not method.blind or method.needs - {"places"}:
        reasons = "the prompt" if not method.blind else " and ".join(sorted(method.needs))
        expected = (
            "a method that decides by the visual tokens alone: the server keeps an image for every prompt"
        )
        raise ApETError("apet.vllm", f"method={name!r}, which is told {reasons}", expected)
    return method


def method_of_request(method: Method, options: Mapping[str, object]) -> Method:
    """The server's method with a request's own budget, if it has one.

    Args:
        method: The server's method.
        options: The request's ``mm_processor_kwargs``.

    Raises:
        ApETError: If it is no budget. Whether it exceeds the server's depends on the image.
    """
    from apet.core import check_keep

    keep = options.get(REQUEST)
    return method if keep is None else replace(method, keep=check_keep(keep, REQUEST))


def without_ours(options: Mapping[str, object]) -> dict[str, object]:
    """A request's ``mm_processor_kwargs`` as the model's own processor may see them."""
    return {
        name: value for name, value in options.items() if name != REQUEST and not isinstance(value, Count)
    }
