"""Models that all visitors of the page share."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apet.core.errors import ApETError
from apet.embedded.reference import NAME, is_fetched

EMBEDDED = "embedded"
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MOST = 2
"""Models held at a time; the one that was used longest ago goes first."""


class Models:
    """Loads models by name, and lets one visitor at a time run one: hooks come and go with every answer.

    Args:
        offered: Model ids or folders that the one who started the page named. Visitors may name others, but
            only by their id on the Hub: a folder's name would let them look around on this machine.
        trust_remote_code: Let the repositories' own code run.
    """

    def __init__(self, offered: tuple[str, ...] = (), *, trust_remote_code: bool = False) -> None:
        self.offered = (*dict.fromkeys((*offered, EMBEDDED, *([NAME] if is_fetched() else []))),)
        self._trust = trust_remote_code
        self._loaded: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, name: str) -> str:
        """Checks a name that a visitor gave."""
        name = name.strip()
        if name not in self.offered and (not _ID.fullmatch(name) or Path(name).exists()):
            raise ApETError("model", repr(name), "a model id such as llava-hf/llava-1.5-7b-hf")
        return name

    @contextmanager
    def running(self, name: str) -> Iterator[tuple[Any, Any]]:
        """A model and its processor for the caller alone, until the block ends."""
        name = self.check(name)
        with self._lock:
            if name not in self._loaded:
                from rich.console import Console

                from apet.app.console import load_with_spinner
                from apet.app.loading import load_config

                source = None if name == EMBEDDED else name
                load_config(source, trust_remote_code=self._trust)  # before one that works is let go
                while len(self._loaded) >= _MOST:
                    self._loaded.popitem(last=False)
                loaded = load_with_spinner(source, Console(stderr=True), trust_remote_code=self._trust)
                self._loaded[name] = loaded
            self._loaded.move_to_end(name)
            yield self._loaded[name]
