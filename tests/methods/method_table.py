"""The table of methods that every shared test runs over: all that are registered, and variants of some.

Methods in ``REPLACING`` choose among no tokens and stand apart. The class that the documentation shows as an
example is among the others.
"""

from __future__ import annotations

from pathlib import Path

from apet.methods import (
    METHODS,
    ApET,
    Attended,
    Attention,
    Downsample,
    Greedy,
    Grid,
    NoImage,
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
    """``method.select``, with attention made up from the tokens where the method decides by it."""
    if not isinstance(method, Attended):
        return method.select(tokens, keep)
    if tokens.dim() != 3 or not tokens.is_floating_point():
        return method.select(tokens, keep, None)
    return method.select(tokens, keep, Attention(tokens.double().sum(-1).sin(), tokens.flip(-1)))
