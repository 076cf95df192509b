"""What is known about a kind of method before one is made: where it comes from and what it asks for."""

from __future__ import annotations

from typing import Any, ClassVar

from apet.core.errors import ApETError
from apet.methods.context import NEEDS


class Traits:
    """Class variables of methods, for their classes to set."""

    takes: ClassVar[tuple[str, ...]] = ("image", "video")
    """What the method can compress."""

    published: ClassVar[str] = ""
    """Where the method was published; empty for one of this library's own and for controls."""

    departs: ClassVar[str] = ""
    """What is not as published; empty where nothing is known to differ."""

    scored: ClassVar[str] = "approximation error"
    """What the errors of a decision are, in a few words for a picture's caption."""

    replaces: ClassVar[bool] = False
    """Whether the method replaces the picture instead of choosing among its tokens, so that the rest of the
    prompt closes up behind what is left of it."""

    measures: ClassVar[bool] = False
    """Whether `select` tells approximation errors, which do not depend on ``keep`` once that is beyond the
    basis. A method that sets it takes a tolerance and a shared budget."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """What `select` has to be told besides the tokens, names of fields of `apet.methods.Context`:
    ``"places"``, ``"prompt"``, ``"attention"``, ``"decoder"``. A method that names some gets the context as a
    third argument. One that is told the prompt decides behind the projector, in the space of the text."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Checks what a class asks for."""
        super().__init_subclass__(**options)
        if isinstance(cls.needs, property):  # each of the class tells its own
            return
        if not isinstance(cls.needs, frozenset) or not cls.needs <= frozenset(NEEDS):
            raise ApETError(cls.__name__, f"needs={cls.needs!r}", "a frozenset out of " + ", ".join(NEEDS))

    @classmethod
    def foreign(cls) -> bool:
        """Whether the class is another package's."""
        return cls.__module__.partition(".")[0] != "apet"

    @property
    def blind(self) -> bool:
        """Whether the decision depends on the image alone, whatever the prompt asks.

        Then it can be made before the prompt is known, and a KV cache that holds the image serves every
        question about it. Elsewhere a cache holds what was chosen for the question it was filled with.
        """
        return not self.needs & {"prompt", "decoder"}
