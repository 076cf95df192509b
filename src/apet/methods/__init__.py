"""Ways to decide which visual tokens stay, behind one interface.

A new method touches four places:

1. ``src/apet/methods/<name>.py``: a frozen dataclass that derives from `Method` and has `select`.
2. A row in `METHODS` below, and its name in ``__all__``.
3. A row in the table of ``tests/methods/method_table.py``, which runs every shared test on it.
4. A row in the documentation's list of methods.
"""

from apet.methods.apet import ApET
from apet.methods.base import At, Method, Positions, Stage2
from apet.methods.random import Random

__all__ = ["METHODS", "ApET", "At", "Method", "Positions", "Random", "Stage2"]

METHODS: dict[str, type[Method]] = {"apet": ApET, "random": Random}
"""Every method by the name that commands and reports use."""
