"""The table of methods that every shared test runs over: all that are registered, and variants of some.

Methods in ``REPLACING`` choose among no tokens and stand apart. The class that the documentation shows as an
example is among the others.
"""

from __future__ import annotations

import math
from pathlib import Path

from apet.methods import (
    EVS,
    METHODS,
    ApET,
    Attention,
    Context,
    Decoder,
    Downsample,
    Greedy,
    Grid,
    NoImage,
    Places,
    Pool,
    Random,
)

REPLACING = {"downsample": Downsample, "none": NoImage}


def documented():
    """The class in the documentation's page on extending."""
    page = (Path(__file__).parents[2] / "docs/extending.md").read_text()
    names = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    return names["Middle"]


CONFIGURATIONS = {
    **{name: method for name, method in METHODS.items() if name not in REPLACING},
    "random": lambda keep, **shared: Random(keep, seed=3, **shared),
    "apet with dpc": lambda keep, **shared: ApET(keep, basis="dpc", basis_size=4, **shared),
    "apet with random basis": lambda keep, **shared: ApET(keep, basis="random", seed=3, **shared),
    "apet, basis spared": lambda keep, **shared: ApET(keep, merge_basis=False, basis_size=4, **shared),
    "greedy in rounds": lambda keep, **shared: Greedy(keep, rounds=3, **shared),
    "random, merging": lambda keep, **shared: Random(keep, seed=3, **{"merge": True} | shared),
    "grid, known": lambda keep, **shared: Grid(keep, grid=(4, 10), **shared),
    "pool, known": lambda keep, **shared: Pool(keep, grid=(10, 4), **shared),
    "documented": documented(),
}


def decide(method, tokens, keep):
    """``method.select``, with a context made up from the tokens where the method asks for one."""
    if tokens.dim() != 3 or not tokens.is_floating_point():
        return method.decided(tokens, keep)
    return method.decided(tokens, keep, context=context_of(method, tokens))


def context_of(method, tokens):
    """What a method needs: places in a raster as nearly square as can be, a prompt, attention."""
    batch, total, _ = tokens.shape
    rows = next((rows for rows in range(math.isqrt(total), 0, -1) if total % rows == 0), 1)
    frames, columns = 1, total // rows
    if "image" not in method.takes:  # one of a token a frame, or of two frames
        frames = total if isinstance(method, EVS) or total % 2 else 2
        rows, columns = 1, total // max(frames, 1)
    places = Places.raster(rows, columns, frames=frames, batch=batch, device=tokens.device)
    prompt = tokens[:, :: max(total // 5, 1)].flip(-1) + 0.5
    total_of = tokens.double().sum(-1)
    attention = Attention(total_of.sin(), tokens.flip(-1), total_of.cos())
    text = prompt.roll(1, dims=-1)
    decoder = Decoder(
        tokens.roll(3, dims=-1), tokens.double().sum(-1).cos(), text, text.double().sum(-1).cos()
    )
    every = {"places": places, "prompt": prompt, "attention": attention, "decoder": decoder}
    return Context(**{name: every[name] for name in method.needs})
