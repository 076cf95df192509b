"""What callers pass to ``plot``, brought to one form; and the picture as a model saw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from apet.core import Selection
from apet.core.errors import ApETError
from apet.hf.grid import Grid
from apet.hf.results import ImageResult
from apet.hf.sessions import Session

Picture: TypeAlias = Image.Image | NDArray[np.uint8] | Sequence[Image.Image | NDArray[np.uint8]]
Decisions: TypeAlias = Selection | ImageResult | Sequence[ImageResult] | Session

_SHAPE = "a PIL image or (height, width, 3) uint8 pixels, or a sequence of them for a video"


@dataclass(frozen=True)
class Decision:
    """One decision about all N visual tokens of an image or a video, tiles and frames together.

    Attributes:
        kept: ``(N,)`` bool.
        errors: ``(N,)`` float32.
        basis: ``(M,)`` the basis tokens.
        slots: ``(N,)`` the kept token, counted among the kept ones, that each token went to.
        rows: ``(N,)`` the tokens' feature rows, which the grids speak of.
        grids: Where they lie.
        words: What was kept, in words.
        merged: Whether dropped tokens went into kept ones.
        measure: What the errors are.
    """

    kept: NDArray[np.bool_]
    errors: NDArray[np.float32]
    basis: NDArray[np.int64]
    slots: NDArray[np.int64]
    rows: NDArray[np.int64]
    grids: tuple[Grid, ...]
    words: str
    merged: bool = True
    measure: str = "approximation error"


def read_pictures(picture: Picture) -> list[Image.Image]:
    """The picture, or the frames of a video, as RGB."""
    if isinstance(picture, Image.Image) or (isinstance(picture, np.ndarray) and picture.ndim == 3):
        return [_rgb(picture)]
    if not isinstance(picture, list | tuple | np.ndarray) or len(picture) == 0:
        raise ApETError("plot", f"a picture of type {type(picture).__name__}", _SHAPE)
    return [_rgb(frame) for frame in picture]


def _rgb(picture: object) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3:
        if picture.shape[-1] == 3 and picture.size:
            return Image.fromarray(picture)
        raise ApETError("plot", f"pixels of shape {picture.shape}", _SHAPE)
    raise ApETError("plot", f"a picture of type {type(picture).__name__}", _SHAPE)


def read_decision(
    decision: Decisions, *, image: int, video: bool, square: bool, grid: tuple[int, ...] | None
) -> Decision:
    """Reads a decision of any form: the image's number where there are several, and what its picture is like.

    ``grid`` is ``(rows, columns)`` or ``(frames, rows, columns)`` of a plain selection.
    """
    if isinstance(decision, Selection):
        return _of_selection(decision, _grids_of(decision, grid, square=square))
    if grid is not None:
        raise ApETError("plot", f"grid={grid} with results of a model", "a grid with a plain selection only")
    if isinstance(decision, Session):
        images = read_decision(decision.images, image=image, video=video, square=square, grid=None)
        method = decision.method
        return replace(images, merged=method.merge)
    results = [decision] if isinstance(decision, ImageResult) else list(decision)
    if not all(isinstance(result, ImageResult) for result in results):
        names = sorted({type(result).__name__ for result in results})
        raise ApETError("plot", f"a list of {', '.join(names)}", "results of a session, or a selection")
    if len(results) > 1:
        kind = "video" if video else "image"
        results = [result for result in results if result.image == image and result.modality == kind]
        if not results:
            raise ApETError("plot", f"no result of {kind} {image}", "a session whose last call had it")
    return _of_results(results)


def _grids_of(selection: Selection, grid: tuple[int, ...] | None, *, square: bool) -> tuple[Grid, ...]:
    if selection.batched:
        raise ApETError("plot", "a batch of decisions", "one of them; see Selection.unbatch")
    count = selection.num_tokens
    if grid is None:
        side = math.isqrt(count)
        if side * side != count or not square:
            raise ApETError(
                "plot",
                f"a selection of {count} tokens that does not tell their grid",
                "grid=(rows, columns), or (frames, rows, columns)",
            )
        grid = (side, side)
    sizes = tuple(grid)
    whole = all(isinstance(size, int) and size > 0 for size in sizes)
    if not whole or len(sizes) not in (2, 3) or math.prod(sizes) != count:
        raise ApETError(
            "plot", f"grid={grid!r} for {count} tokens", "(rows, columns) that make up the tokens"
        )
    rows, columns = sizes[-2:]
    frames = sizes[0] if len(sizes) == 3 else 1
    return tuple(Grid(rows, columns, frame * rows * columns, frame=frame) for frame in range(frames))


def _of_selection(selection: Selection, grids: tuple[Grid, ...]) -> Decision:
    kept = np.zeros(selection.num_tokens, bool)
    kept[selection.indices.cpu().numpy()] = True
    return Decision(
        kept=kept,
        errors=selection.errors.detach().float().cpu().numpy(),
        basis=selection.basis.cpu().numpy(),
        slots=selection.assignment.cpu().numpy(),
        rows=np.arange(selection.num_tokens),
        grids=grids,
        words=f"{selection.num_kept:,} of {selection.num_tokens:,} visual tokens",
    )


def _of_results(results: Sequence[ImageResult]) -> Decision:
    """Tiles or frames of one image or video, one after the other."""
    if not all(result.grids and result.rows is not None for result in results):
        raise ApETError(
            "plot",
            "visual tokens of a model family that does not tell where they lie on the picture",
            "another family, or a selection with grid=(rows, columns)",
        )
    parts = [_of_selection(result.selection, result.grids) for result in results]
    starts = np.cumsum([0, *(len(part.kept) for part in parts)])
    firsts = np.cumsum([0, *(int(part.kept.sum()) for part in parts)])
    total = sum(result.tokens for result in results)
    words = f"{sum(result.tokens_stage1 for result in results):,} of {total:,} visual tokens"
    if any(result.stage2 is not None for result in results):
        words += f", then {sum(result.tokens_stage2 for result in results):,}"
    return Decision(
        kept=np.concatenate([part.kept for part in parts]),
        errors=np.concatenate([part.errors for part in parts]),
        basis=np.concatenate([part.basis + start for part, start in zip(parts, starts, strict=False)]),
        slots=np.concatenate([part.slots + first for part, first in zip(parts, firsts, strict=False)]),
        rows=np.concatenate([result.rows.numpy() for result in results if result.rows is not None]),
        grids=_shown_grids(results),
        words=words,
        measure=next((stage.measure for one in results for stage in (one.stage1, one.stage2) if stage), ""),
    )


def _shown_grids(results: Sequence[ImageResult]) -> tuple[Grid, ...]:
    """The grids that hold a token of the results: one tile or frame alone may have been passed."""
    rows = np.concatenate([result.rows.numpy() for result in results if result.rows is not None]).tolist()
    return tuple(grid for grid in results[0].grids if any(grid.place(row) is not None for row in rows))


def seen_picture(pixels: Tensor, image_processor: Any) -> Image.Image:
    """The picture as the model saw it, from normalised pixels ``(3, height, width)``, resized and cropped."""
    values = pixels.detach().float().cpu().permute(1, 2, 0).numpy()
    values = values * np.asarray(image_processor.image_std) + np.asarray(image_processor.image_mean)
    return Image.fromarray(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8))


def processed_picture(picture: Image.Image, processor: Any) -> Image.Image:
    """Runs a processor, or an image processor, on a picture, and turns the pixels back into one."""
    image_processor = getattr(processor, "image_processor", processor)
    pixels = image_processor(images=picture, return_tensors="pt")["pixel_values"]
    if pixels.ndim != 4 or pixels.shape[0] != 1:
        shape = f"a processor that makes pixels of shape {tuple(pixels.shape)}"
        raise ApETError(
            "plot", shape, "one that makes (1, 3, height, width), or the picture as the model saw it"
        )
    return seen_picture(pixels[0], image_processor)
