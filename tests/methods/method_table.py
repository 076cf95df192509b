"""The table of methods that every shared test runs over. A new method adds a row.

Methods in ``REPLACING`` choose among no tokens and stand apart.
"""

from __future__ import annotations

from apet.methods import (
    DART,
    ApET,
    Attended,
    Attention,
    DivPrune,
    Downsample,
    FastV,
    Greedy,
    Grid,
    NoImage,
    Norm,
    Pool,
    PyramidDrop,
    Random,
    ToMe,
    VisionZip,
)

CONFIGURATIONS = {
    "apet": ApET,
    "apet with dpc": lambda keep, **shared: ApET(keep, basis="dpc", basis_size=4, **shared),
    "apet with random basis": lambda keep, **shared: ApET(keep, basis="random", seed=3, **shared),
    "apet, basis spared": lambda keep, **shared: ApET(keep, merge_basis=False, basis_size=4, **shared),
    "greedy": Greedy,
    "greedy in rounds": lambda keep, **shared: Greedy(keep, rounds=3, **shared),
    "random": lambda keep, **shared: Random(keep, seed=3, **shared),
    "random, merging": lambda keep, **shared: Random(keep, seed=3, **{"merge": True} | shared),
    "grid": Grid,
    "grid, known": lambda keep, **shared: Grid(keep, grid=(4, 10), **shared),
    "pool": Pool,
    "pool, known": lambda keep, **shared: Pool(keep, grid=(10, 4), **shared),
    "norm": Norm,
    "divprune": DivPrune,
    "dart": DART,
    "tome": ToMe,
    "fastv": FastV,
    "visionzip": VisionZip,
    "pyramiddrop": PyramidDrop,
}
REPLACING = {"downsample": Downsample, "none": NoImage}


def decide(method, tokens, keep):
    """``method.select``, with attention made up from the tokens where the method decides by it."""
    if not isinstance(method, Attended):
        return method.select(tokens, keep)
    if tokens.dim() != 3 or not tokens.is_floating_point():
        return method.select(tokens, keep, None)
    return method.select(tokens, keep, Attention(tokens.double().sum(-1).sin(), tokens.flip(-1)))
