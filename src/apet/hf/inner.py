"""The transformers model inside of what others put around it."""

from __future__ import annotations

from typing import Any

from torch import nn

from apet.core.errors import ApETError

__all__ = ["base_of", "inner_model", "uncompiled"]


def uncompiled(module: Any) -> Any:
    """A module without what ``torch.compile`` puts around it."""
    return module._orig_mod if "_orig_mod" in getattr(module, "_modules", ()) else module


def base_of(model: Any) -> Any:
    """The base model of a model with a head: the one below the head, whatever is compiled."""
    return uncompiled(getattr(model, "base_model", model))


def inner_model(model: Any) -> Any:
    """Find the model that hooks belong on.

    Args:
        model: A transformers model, or one inside of a PEFT model, a compiled module, or (fully sharded)
            distributed data parallel. Anything else is handed back.

    Raises:
        ApETError: If it is inside of ``DataParallel``, which copies it for every call.
    """
    while isinstance(model, nn.Module):
        if isinstance(model, nn.DataParallel):
            raise ApETError(
                "apply", "a model in DataParallel, which copies it for every call", "DistributedDataParallel"
            )
        if uncompiled(model) is not model:
            model = uncompiled(model)
        elif callable(base := getattr(type(model), "get_base_model", None)):  # PEFT
            model = base(model)
        elif "module" in model._modules and not hasattr(type(model), "base_model_prefix"):
            model = model.module  # DistributedDataParallel
        elif "_fsdp_wrapped_module" in model._modules:
            model = model._fsdp_wrapped_module
        else:
            break
    return model
