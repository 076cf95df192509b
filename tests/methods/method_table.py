"""The table of methods that every shared test runs over. A new method adds a row."""

from __future__ import annotations

from apet.methods import ApET, Random

CONFIGURATIONS = {
    "apet": ApET,
    "apet with dpc": lambda keep, **shared: ApET(keep, basis="dpc", basis_size=4, **shared),
    "apet with random basis": lambda keep, **shared: ApET(keep, basis="random", seed=3, **shared),
    "random": lambda keep, **shared: Random(keep, seed=3, **shared),
}
