"""What the authors' code does for each model, as fields of `apet.methods.ApET`."""

from __future__ import annotations

from typing import Any

from apet.core.check import check_int
from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.methods.stage2 import Stage2

AUTHORS: dict[str, dict[str, Any]] = {
    "llava-1.5": {"positions": "contiguous", "slots": "overwrite"},
    "llava-next": {"positions": "contiguous", "slots": "overwrite"},
    "video-llava": {"keep": 32, "positions": "contiguous", "slots": "append", "at": "projector_output"},
    "qwen2.5-vl": {"keep": 0.3, "slots": "blend", "inner_ridge": 1e-1},
}
"""By the name of the model; those without a budget take the paper's."""


def authors_fields(model: str, average: int | None, num_layers: int) -> dict[str, Any]:
    """The fields for a model.

    Args:
        model: A name in `AUTHORS`.
        average: As in `apet.methods.ApET.paper`, for the models that have such a budget; None for 64.
        num_layers: As there.
    """
    if not isinstance(model, str) or model not in AUTHORS:
        raise ApETError("ApET.authors", repr(model), one_of(map(repr, AUTHORS), repr(model)))
    fields = dict(AUTHORS[model])
    if "keep" not in fields:
        first, second = paper_budget(average or 64, num_layers, 576, "ApET.authors")
        return fields | {"keep": first, "stage2": Stage2(num_layers // 2, second)}
    if average is not None:
        raise ApETError(
            "ApET.authors", f"average={average} for {model!r}", f"None: it keeps {fields['keep']}"
        )
    return fields


def paper_budget(average: int, num_layers: int, num_tokens: int, name: str) -> tuple[int, int]:
    """What the two stages keep so that decoder layers see ``average`` tokens."""
    average = check_int("average", average, name)  # NumPy's would overflow
    num_layers = check_int("num_layers", num_layers, name)
    num_tokens = check_int("num_tokens", num_tokens, name)
    if average % 2:
        raise ApETError(name, f"average={average}", "an even number, since half of it is kept at the end")
    if num_layers % 2:
        raise ApETError(name, f"num_layers={num_layers}", "an even number, since stage 2 is in the middle")
    first = average * 3 // 2
    if first > num_tokens:
        got = f"average={average}, which keeps {first} tokens in stage 1"
        raise ApETError(name, got, f"at most num_tokens={num_tokens}")
    return first, average // 2
