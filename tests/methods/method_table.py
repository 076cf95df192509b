"""The table of methods that every shared test runs over. A new method adds a row."""

from __future__ import annotations

from apet.methods import DART, ApET, DivPrune, Greedy, Grid, Norm, Pool, Random, ToMe

CONFIGURATIONS = {
    "apet": ApET,
    "apet with dpc": lambda keep, **shared: ApET(keep, basis="dpc", basis_size=4, **shared),
    "apet with random basis": lambda keep, **shared: ApET(keep, basis="random", seed=3, **shared),
    "greedy": Greedy,
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
}
