"""The handle that ``apply`` and ``compressing`` give back: what is applied, and what it did."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from apet.hf.results import ImageResult
from apet.methods import Method


@dataclass(frozen=True)
class Totals:
    """Counts summed over every compressed prefill since ``apply``, over all threads.

    Attributes:
        prefills: Forward passes with images.
        images: Images in them (beams and returned sequences count once).
        tokens: Their visual tokens before compression.
        kept_stage1: Visual tokens that entered the text model.
        kept_stage2: Visual tokens that the last layer saw.
    """

    prefills: int = 0
    images: int = 0
    tokens: int = 0
    kept_stage1: int = 0
    kept_stage2: int = 0


class Session:
    """What a compression has done so far.

    Results are those of the last call made in the reading thread: the last ``generate``, or the last forward
    pass with images. A ``generate`` without images leaves an empty tuple. They stay until that thread's next
    call, also after ``remove``. A thread that has made no call itself reads the last call of any thread, so
    that a caller who streams from a worker thread can read them.

    Attributes:
        method: The method that is applied.
        model_type: ``config.model_type`` of the model.

    Examples:
        >>> import apet
        >>> from PIL import Image
        >>> model, processor = apet.embedded.load()
        >>> picture = Image.new("RGB", (336, 336), "white")
        >>> inputs = processor(images=picture, text="<image>What is it?", return_tensors="pt")
        >>> with apet.compressing(model, apet.ApET(keep=64)) as session:
        ...     logits = model(**inputs).logits
        >>> session.totals
        Totals(prefills=1, images=1, tokens=576, kept_stage1=64, kept_stage2=64)
        >>> session.images[0].indices.shape
        torch.Size([64])
    """

    def __init__(self, method: Method, model_type: str) -> None:
        self.method = method
        self.model_type = model_type
        self._own = threading.local()
        self._lock = threading.Lock()
        self._latest: tuple[ImageResult, ...] = ()
        self._totals = Totals()
        self._active = True

    def __repr__(self) -> str:
        state = "active" if self._active else "removed"
        return f"Session({self.model_type}, {self.method!r}, {state}, {self.totals})"

    @property
    def active(self) -> bool:
        """Whether the compression is still applied."""
        return self._active

    @property
    def images(self) -> tuple[ImageResult, ...]:
        """One result per image of the last call, in prompt order over the rows of the batch."""
        results: tuple[ImageResult, ...] | None = getattr(self._own, "images", None)
        return self._latest if results is None else results

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of the last call before compression, over all its images."""
        return sum(image.tokens for image in self.images)

    @property
    def kept_stage1(self) -> int:
        """Visual tokens of the last call that entered the text model."""
        return sum(image.tokens_stage1 for image in self.images)

    @property
    def kept_stage2(self) -> int:
        """Visual tokens of the last call that the last layer saw."""
        return sum(image.tokens_stage2 for image in self.images)

    @property
    def seconds(self) -> float:
        """Time that the last call spent selecting."""
        return sum(image.seconds for image in self.images)

    @property
    def totals(self) -> Totals:
        """Counts summed over all calls since ``apply``."""
        with self._lock:
            return self._totals

    def begin(self) -> None:
        """Forget this thread's results; called when a ``generate`` starts."""
        self._own.images = ()
        with self._lock:
            self._latest = ()

    def record(self, images: Sequence[ImageResult], *, more: bool = False) -> None:
        """Store the results of a compressed prefill; called by the hooks.

        Args:
            images: One result per image.
            more: Whether they belong to the prefill whose results were stored last, as its next chunk.
        """
        results = sorted((*self.images, *images), key=lambda image: image.row) if more else images
        self._own.images = tuple(results)
        with self._lock:
            old = self._totals
            self._latest = tuple(results)
            self._totals = Totals(
                prefills=old.prefills + (not more),
                images=old.images + len(images),
                tokens=old.tokens + sum(image.tokens for image in images),
                kept_stage1=old.kept_stage1 + sum(image.tokens_stage1 for image in images),
                kept_stage2=old.kept_stage2 + sum(image.tokens_stage2 for image in images),
            )

    def end(self) -> None:
        """Mark the compression as removed; called by ``remove``."""
        self._active = False
