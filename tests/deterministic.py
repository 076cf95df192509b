"""What ``torch.use_deterministic_algorithms(True)`` refuses on a GPU, looked for where there is none."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.simulated_device import OnDevice

__all__ = ["REFUSED", "Operations"]

_TEXT = torch.use_deterministic_algorithms.__doc__ or ""
_NAMED = re.findall(r"`torch\.([\w.]+)`", _TEXT.split("operations will throw a")[1].split("In addition")[0])
REFUSED = {name.rsplit(".", 1)[-1].strip("_").lower() for name in _NAMED}
"""Every operation that the documentation names, some of them in some cases only."""


class Operations(TorchDispatchMode):
    """Collects the operations of the simulated device, and those that a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.all: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.strip("_")
        if any(isinstance(x, OnDevice) for x in args):
            self.all.add(name)
            counts = name == "bincount" and len(args) < 2
            integers = name == "cumsum" and not args[0].is_floating_point()
            if name in REFUSED and not (counts or integers):
                self.refused.add(name)
        return func(*args, **(kwargs or {}))
