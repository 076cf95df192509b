"""What the sets of hooks have in common, and how a method of a model is replaced and put back."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from torch import nn

from apet.core.errors import ApETError
from apet.hf.cache.record import Lease
from apet.methods import Method

_COPYING = {"__deepcopy__": "deepcopy", "__reduce_ex__": "save"}


class Hooks:
    """Hooks of one part of one model.

    They hold no module that holds them, so that a model is freed as soon as nobody uses it any more.

    Args:
        method: The method that is applied.
        lease: The compression that the hooks belong to.
    """

    def __init__(self, method: Method, lease: Lease) -> None:
        self.method = method
        self.lease = lease


def replace(
    owner: nn.Module, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]], lease: Lease
) -> Callable[[], None]:
    """Replace a method of a module by an attribute of the instance.

    Whoever puts something of their own around the replacement, say to move a layer's weights, may keep a hold
    on it for longer than the compression lasts. So it passes calls on once the lease has ended, and what it
    no longer is the outside of stays.

    Args:
        owner: The module.
        name: Name of the method.
        make: Makes the replacement of what it is given.
        lease: The compression.

    Returns:
        What undoes it.
    """
    attributes, module = owner.__dict__, weakref.ref(owner)
    had, before = name in attributes, attributes.get(name)
    shown = getattr(owner, name)
    if had:
        original: Callable[..., Any] = shown
    else:
        function = getattr(type(owner), name)

        def original(*args: Any, **kwargs: Any) -> Any:
            return function(module(), *args, **kwargs)

        _show_as(original, shown)
    value = make(original)

    def ours(*args: Any, **kwargs: Any) -> Any:
        return (value if lease.active else original)(*args, **kwargs)

    _show_as(ours, shown)
    attributes[name] = ours
    free = refuse_copies(owner)

    def undo() -> None:
        alive = module()
        if alive is None:
            return
        attributes = alive.__dict__
        if attributes.get(name) is ours:
            if had:
                attributes[name] = before
            else:
                del attributes[name]
        free()

    return undo


def refuse_copies(owner: nn.Module) -> Callable[[], None]:
    """Let a module be neither copied nor saved: a copy would share the hooks with it, and run its weights.

    Returns:
        What undoes it.
    """
    module = weakref.ref(owner)
    for special, operation in _COPYING.items():
        owner.__dict__.setdefault(special, functools.partial(_refuse, operation))

    def undo() -> None:
        attributes = getattr(module(), "__dict__", {})
        for special in _COPYING:
            if getattr(attributes.get(special), "func", None) is _refuse:
                del attributes[special]

    return undo


def _show_as(function: Callable[..., Any], shown: Callable[..., Any]) -> None:
    """Give a function the name and signature of a bound method, without a hold on what it is bound to."""
    functools.update_wrapper(function, shown, updated=())
    del function.__wrapped__  # type: ignore[attr-defined]
    function.__signature__ = inspect.signature(shown)  # type: ignore[attr-defined]


def _refuse(operation: str, *_: Any) -> NoReturn:
    raise ApETError(
        operation,
        "a model under compression",
        "apet.remove(model) before, and apet.apply(model, ..) on what is loaded; or only its state_dict()",
    )
