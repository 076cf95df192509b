"""Several samples packed into one row, each of which sees itself alone.

transformers tells them apart by position ids that begin anew, where there is neither a mask nor a cache; and
variable-length attention by boundaries that the caller gives. Dropping columns moves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from apet.core.errors import ApETError
from apet.hf.prompt_state import Placed

_LENGTHS = {"cu_seq_lens_q": "max_length_q", "cu_seq_lens_k": "max_length_k"}


def leads_with_text(positions: Any, config: Any) -> bool:
    """Whether position ids of several axes are led by a row of the text (Qwen)."""
    if not isinstance(positions, Tensor) or positions.dim() != 3:
        return False
    section = (getattr(config, "rope_parameters", None) or {}).get("mrope_section")
    return positions.shape[0] > (len(section) if section else 3)


def samples_of(positions: Tensor) -> Tensor | None:
    """``(B, L)`` long: the number of the sample that each token belongs to; None where rows are one sample.

    Args:
        positions: ``(B, L)`` position ids on the CPU. As in transformers, a sample ends where they do not go
            on by one.
    """
    samples = (positions.diff(dim=1, prepend=positions[:, :1] - 1) != 1).long().cumsum(1)
    return samples if bool(samples.any()) else None


def _kept(columns_left: Tensor, samples: Tensor) -> Tensor:
    """``(B, S)`` long: the columns that are left of each sample."""
    found = columns_left.new_zeros(len(columns_left), int(samples.max()) + 1)
    return found.scatter_add_(1, samples, columns_left)


def counted(columns_left: Tensor, samples: Tensor, width: int) -> Tensor:
    """``(B, width)`` long: position ids of the slots that count each sample from 0.

    Slots on the left, of rows that have fewer than the longest one, count as a sample of their own, which no
    other sees.

    Args:
        columns_left: ``(B, L)`` long, how many columns are left of each.
        samples: ``(B, L)`` long.
        width: Slots of a row.
    """
    rows = []
    for counts in _kept(columns_left, samples).tolist():
        parts = [width - sum(counts), *counts]
        rows.append(torch.cat([torch.arange(part, device="cpu") for part in parts]))
    return torch.stack(rows)


def sample_of_slots(columns_left: Tensor, samples: Tensor, width: int) -> Tensor:
    """``(B, width)`` long: the sample of every slot, -1 for empty ones on the left."""
    kept = _kept(columns_left, samples)
    numbers = torch.arange(kept.shape[1], device="cpu")
    rows = [numbers.repeat_interleave(counts) for counts in kept]
    return pad_sequence(
        [*rows, numbers.new_zeros(width)], batch_first=True, padding_value=-1, padding_side="left"
    )[:-1]


def first_slots(columns_left: Tensor, samples: Tensor, width: int) -> Tensor:
    """``(B, L)`` long: for every column the first slot of its sample."""
    kept = _kept(columns_left, samples)
    ends = kept.cumsum(1) + (width - kept.sum(1, keepdim=True))
    return (ends - kept).gather(1, samples).clamp(max=width - 1)


def read_lengths(kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """The boundaries between packed samples that a caller gave, on the CPU."""
    return {name: value.cpu() for name in _LENGTHS if isinstance(value := kwargs.get(name), Tensor)}


def shorten_lengths(
    kwargs: dict[str, Any], lengths: dict[str, Tensor], columns_left: Tensor, placed: Sequence[Placed]
) -> None:
    """Fit boundaries, and the length of the longest sample, to the columns that are left.

    Args:
        kwargs: Keyword arguments; changed in place.
        lengths: What the caller gave, over the columns of all rows one after another.
        columns_left: ``(B, L)`` long on the CPU, how many columns are left of each.
        placed: The images, tiles or frames.
    """
    ends = torch.nn.functional.pad(columns_left.flatten().cumsum(0), (1, 0))
    for name, bounds in lengths.items():
        for one in placed:
            first, last = (one.row * columns_left.shape[1] + int(one.columns[end]) for end in (0, -1))
            if bool(((bounds > first) & (bounds <= last)).any()):
                raise ApETError(
                    "forward", f"{name} with a boundary inside of an image", "boundaries between samples"
                )
        short = ends[bounds.long()]
        kwargs[name] = short.to(bounds.dtype).to(kwargs[name].device)
        longest = _LENGTHS[name]
        if kwargs.get(longest) is not None:
            kwargs[longest] = int(short.diff().max())
