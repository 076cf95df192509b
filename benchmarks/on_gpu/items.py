"""Results that are written as they come, within the seconds that a part has."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = ["Part", "synchronize"]


class Part:
    """One part's results.

    Args:
        path: File that is written anew after each of them.
        seconds: Nothing starts that would not end within so many.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._end = path, time.monotonic() + seconds
        self.gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.gpu else "cpu")
        gpu = torch.cuda.get_device_name() if self.gpu else None
        self.found: dict[str, Any] = {"torch": torch.__version__, "gpu": gpu, "items": {}}

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def item(self, name: str, run: Callable[[], Any], needs: float = 5.0) -> None:
        """Runs and records one thing; what fails is recorded, and the next one runs.

        Raises:
            RuntimeError: If the device cannot be used any more.
        """
        broken: RuntimeError | None = None
        value: Any
        if self.left < needs:
            value = {"left_out": f"{self.left:.0f} s left"}
        else:
            try:
                value = run()
            except Exception as error:  # noqa: BLE001 - recorded, whatever it is
                value = {"error": repr(error)[:500], "trace": traceback.format_exc()[-3000:]}
                broken = error if isinstance(error, RuntimeError) and "CUDA error" in str(error) else None
        self.found["items"][name] = value
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.found, indent=1, default=str) + "\n", encoding="utf-8")
        print(f"[{self.left:4.0f} s left] {name}: {json.dumps(value, default=str)[:600]}", flush=True)
        if broken is not None:
            raise broken


def synchronize() -> None:
    """Waits for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
