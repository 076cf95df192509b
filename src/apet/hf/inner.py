"""The transformers model inside of what others put around it."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from apet.core.errors import ApETError


def uncompiled(module: Any) -> Any:
    """A module without what ``torch.compile``, sharding or others that hand everything on put around it."""
    while isinstance(module, nn.Module):
        inside = list(module.children())
        kinds = {parameter.kind for parameter in inspect.signature(module.forward).parameters.values()}
        hands_on = kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        if len(inside) != 1 or not hands_on:
            break
        module = inside[0]
    return module


def base_of(model: Any) -> Any:
    """The base model of a model with a head: the one below the head, whatever is compiled."""
    return uncompiled(getattr(model, "base_model", model))


def inner_model(model: Any) -> Any:
    """Find the model that hooks belong on.

    Args:
        model: A transformers model, or one inside of a PEFT model, a compiled module, or (fully sharded)
            distributed data parallel. Anything else is handed back.
    """
    while isinstance(model, nn.Module):
        if isinstance(model, nn.DataParallel):
            raise ApETError(
                "apply", "a model in DataParallel, which copies it for every call", "DistributedDataParallel"
            )
        if "_orig_mod" in model._modules:
            model = model._orig_mod
        elif callable(base := getattr(type(model), "get_base_model", None)):  # PEFT
            model = base(model)
        elif "module" in model._modules and not hasattr(type(model), "base_model_prefix"):
            model = model.module  # DistributedDataParallel
        elif "_fsdp_wrapped_module" in model._modules:
            model = model._fsdp_wrapped_module
        else:
            break
    return model
