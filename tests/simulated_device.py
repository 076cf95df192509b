"""A device that computes on the CPU and tells when a real one would have to be waited for.

Its tensors hold CPU tensors and say that they are on ``DEVICE``, a device type that torch knows and has no
backend for. While `watching`, whatever the package under test does with them is logged: where the host waits
for the device (reads, and copies that are not ``non_blocking``), what is copied without waiting, every
operation launched, and operations that mix tensors of both devices, which a real one refuses.

    with watching() as log:
        result = compress(to_device(tokens), 64)
    assert len(log.waits) == 1, log.waits

Operations that change a tensor's shape in place are not simulated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "Event", "Log", "OnDevice", "to_device", "to_host", "watching"]

DEVICE = torch.device("lazy:0")

PACKAGE, OTHERS = "/apet/", ("/transformers/",)
"""Whose doings are told apart, by folder; of a stack of calls the innermost counts."""

READS = {
    "_linalg_check_errors",
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
"""Operations that tell the host something, or whose result's shape depends on values."""

FREE = {"_local_scalar_dense", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty"}
"""Operations other than views that launch nothing."""

INDEXING = {"_index_put_impl_", "_unsafe_index", "index", "index_put", "index_put_"}


@dataclass(frozen=True)
class Event:
    """Something that happened on the device.

    Attributes:
        kind: What, in words.
        where: The line that did it, as ``apet/core/blocks.py:12``.
    """

    kind: str
    where: str


@dataclass
class Log:
    """What the package under test did.

    Attributes:
        waits: The host waited for the device.
        copies: Copies to the device that nothing waits for.
        launches: Operations of the device.
        mismatches: Operations on tensors of both devices.
        others: Waits caused by other packages.
    """

    waits: list[Event] = field(default_factory=list)
    copies: list[Event] = field(default_factory=list)
    launches: list[Event] = field(default_factory=list)
    mismatches: list[Event] = field(default_factory=list)
    others: list[Event] = field(default_factory=list)


_logs: list[Log] = []


@contextmanager
def watching() -> Iterator[Log]:
    """Logs what happens on the device; its tensors can only be made inside, or by `to_device`."""
    log = Log()
    _logs.append(log)
    try:
        with _Making(), _Everything():
            yield log
    finally:
        _logs.pop()


def to_device(x: Any) -> Any:
    """Puts a tensor, those in lists, tuples or dictionaries, or a module's (in place) on the device."""
    if isinstance(x, torch.nn.Module):
        moved: dict[int, Tensor] = {}  # tied ones stay tied
        for module in x.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        own = moved.setdefault(id(tensor), OnDevice(tensor.detach()))
                        tensors[name] = own
        return x
    return tree_map(lambda t: OnDevice(t.detach()) if _on_host(t) else t, x)


def to_host(x: Any) -> Any:
    """The CPU tensors behind those of the device, in the same places, unlogged."""
    return tree_map(lambda t: t.held if isinstance(t, OnDevice) else t, x)


class OnDevice(Tensor):
    """A tensor of the device, which holds one of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        own: OnDevice = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), dtype=held.dtype, device=DEVICE
        )
        own.held = held
        return own

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(function, args, kwargs or {})

    def __repr__(self) -> str:
        return f"OnDevice({self.held!r})"

    def tolist(self) -> Any:
        """Reads all values."""
        _note("waits", "tolist")
        return self.held.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Reads all values, though a real device would refuse."""
        _note("waits", "numpy")
        return self.held.numpy(*args, **kwargs)


class _Everything(TorchDispatchMode):
    """Sees operations that make tensors or take those of the CPU only."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(function, args, kwargs or {})


class _Making(TorchFunctionMode):
    """Sees tensors made of Python numbers, which no operation tells of."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice):
            index = _without_lists(args[1])
            tensors = [x for x in tree_leaves(index) if isinstance(x, Tensor) and x.ndim]
            if tensors and isinstance(args[-1], (bool, int, float)) and tensors[0].dtype != torch.bool:
                _note("waits", "copy to the device, a number as value")
            return function(args[0], index, *args[2:])
        if function not in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            return function(*args, **kwargs)
        if function is Tensor.new_tensor:
            like, *args = args
            kwargs = {"dtype": like.dtype, "device": like.device} | kwargs
            function = torch.tensor
        data, *rest = args
        if isinstance(data, OnDevice):
            return data if kwargs.get("dtype") is None else data.to(kwargs["dtype"])
        given = kwargs.get("device")
        made = function(to_host(data), *rest, **{**kwargs, "device": "cpu" if _is_device(given) else given})
        if not _is_device(given):
            return made
        _note("waits", "copy to the device, torch.tensor")
        return OnDevice(made)


def _without_lists(index: Any) -> Any:
    """An index with tensors in place of lists, which are copied to the device."""
    if isinstance(index, tuple):
        return tuple(map(_without_lists, index))
    if not isinstance(index, (list, range)):
        return index
    _note("waits", "copy to the device, a list as index")
    return OnDevice(torch.tensor(to_host(list(index))))


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Logs an operation and runs it on the CPU."""
    name = function.overloadpacket.__name__
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    here = [x for x in tensors if isinstance(x, OnDevice)]
    asked = kwargs.get("device")
    arrives = bool(here) if asked is None else _is_device(asked)
    if here or arrives:
        _log_operation(function, name, args, kwargs, bool(here), arrives)
    known = {id(x.held): x for x in here}

    def unwrapped(x: Any) -> Any:
        if isinstance(x, OnDevice):
            return x.held
        return torch.device("cpu") if _is_device(x) else x

    call: Callable[..., Any] = function
    if name == "histc" and not args[0].is_floating_point():  # integers: CUDA alone has it
        call = lambda x, *rest, **named: function(x.float(), *rest, **named).to(x.dtype)  # noqa: E731
    result = call(*tree_map(unwrapped, args), **tree_map(unwrapped, kwargs))
    if not arrives and (not here or name in ("_to_copy", "copy_")):
        return result
    return tree_map(lambda x: (known[id(x)] if id(x) in known else OnDevice(x)) if _on_host(x) else x, result)


def _log_operation(
    function: Any, name: str, args: Any, kwargs: dict[str, Any], here: bool, arrives: bool
) -> None:
    hosts = [x for x in tree_leaves((args, kwargs)) if _on_host(x)]
    if name == "_to_copy" or (name == "copy_" and hosts):
        into = arrives if name == "_to_copy" else isinstance(args[0], OnDevice)
        blocking = not (kwargs.get("non_blocking") or (name == "copy_" and args[2:3] == (True,)))
        if not into:
            _note("waits", "copy to the host")
        elif hosts:
            _note("waits" if blocking else "copies", "copy to the device")
    elif name in READS or (name == "repeat_interleave" and kwargs.get("output_size") is None and here):
        _note("waits", name)
    elif name in INDEXING:
        indices = [x for x in args[1] if x is not None]
        if any(x.dtype in (torch.bool, torch.uint8) for x in indices):
            _note("waits", "a mask as index")
        if any(_on_host(x) for x in indices):
            _note("waits", "copy to the device, an index")
        if len(args) > 2 and _on_host(args[2]):
            _note("waits", "copy to the device, a value")
    elif here and any(x.ndim for x in hosts):
        _note("mismatches", name)
    alias = function._schema.returns[0].alias_info if function._schema.returns else None
    if name not in FREE and (alias is None or alias.is_write):
        _note("launches", name)


def _note(kind: str, what: str) -> None:
    """Logs an event under the line that caused it; the test's own are not logged."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        for folder in (PACKAGE, *OTHERS):
            if folder in path:
                where = f"{folder[1:]}{path.rsplit(folder, 1)[1]}:{frame.f_lineno}"
                if _logs and (folder == PACKAGE or kind == "waits"):
                    getattr(_logs[-1], kind if folder == PACKAGE else "others").append(Event(what, where))
                return
        frame = frame.f_back


def _is_device(x: Any) -> bool:
    return isinstance(x, (torch.device, str)) and torch.device(x).type == DEVICE.type


def _on_host(x: Any) -> bool:
    return isinstance(x, Tensor) and not isinstance(x, OnDevice)
