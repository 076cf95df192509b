"""What transformers calls the arguments that the hooks read: looked up here alone, by signature.

Since 5.24 models and their decoder layers call the KV cache ``cache``; before, ``past_key_values``. Callers
may still use the old name.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.inner import uncompiled

_CACHE = ("cache", "past_key_values")


def names_of(module: nn.Module) -> tuple[str, ...]:
    """The names of the parameters of a module's ``forward``; of what is inside, if it is wrapped."""
    return tuple(inspect.signature(uncompiled(module).forward).parameters)


def check_names(module: nn.Module, where: str, operation: str, *others: str) -> None:
    """Check that a module takes what the hooks read: the KV cache under a known name, and other arguments.

    Raises:
        ApETError: If it has not, so that nothing is ever read as "not given" that was.
    """
    names = names_of(module)
    missing = [name for name in others if name not in names]
    if not set(_CACHE).intersection(names):
        missing.append(" or ".join(_CACHE))
    if missing:
        raise ApETError(
            operation,
            f"{where} with arguments {', '.join(names)}",
            f"one with {', '.join(missing)}: a release of transformers within apet's bounds",
        )


def cache_name(model: nn.Module) -> str:
    """What a model calls the KV cache."""
    return next(name for name in _CACHE if name in names_of(model))


def cache_in(kwargs: dict[str, Any]) -> Any:
    """The KV cache among the keyword arguments of a model or a decoder layer; None if there is none."""
    return next((cache for name in _CACHE if (cache := kwargs.get(name)) is not None), None)


def cache_out(output: Any) -> Any:
    """The KV cache in an output of a model; None if there is none."""
    fields = vars(output) if hasattr(output, "__dict__") else {}
    return next((cache for name in _CACHE if (cache := fields.get(name)) is not None), None)


class Given(dict[str, Any]):
    """Arguments by name, for layouts to read: small whole numbers come to the host, once.

    A model may hold the grids of its images on a device, and every look at them there would wait for it.
    """

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, Tensor) and not value.is_floating_point() and value.device.type != "cpu":
            value = value.cpu()
            self[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or a default."""
        return self[name] if name in self else default  # noqa: SIM401
