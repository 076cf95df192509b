"""What is compared: methods, budgets, stages and seeds, as a list of configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apet.core.errors import ApETError
from apet.core.words import one_of, read_number
from apet.methods import METHODS, ApET, Method, Stage2, named

Stages = Literal["off", "paper"]

FULL = "full"
"""Name of the uncompressed model, a row of every report."""

SEEDED = frozenset({"random"})
"""Methods that draw by chance, so that they run once per seed."""

_WITHOUT_BUDGET = frozenset({"none"})
"""Methods for which the budget says nothing, so that they run once."""

DEFAULT_METHODS = (
    *(name for name, method in METHODS.items() if "image" in method.takes),
    "greedy:rounds=4",
    "apet:tolerance=0.2",
    "apet:tolerance=0.3",
    "apet:tolerance=0.4",
)
"""What runs if no method is named: all of them, greedy in a few rounds, and ApET under error bounds."""

_WORDS = {"none": None, "true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Configuration:
    """One way to run the model.

    Attributes:
        method: As on the command line: a name, with fields such as ``apet:merge=no``.
        keep: The budget that was asked for, None where there is none. With ``stage2="paper"`` it is the
            average over decoder layers.
        stage2: ``"off"`` or ``"paper"``: half as many again up to the middle layer, half as many behind it.
        seed: Seed of a method that draws by chance, else None.
        built: The method itself; None for the uncompressed model.
    """

    method: str
    keep: int | float | None = None
    stage2: Stages = "off"
    seed: int | None = None
    built: Method | None = None

    @property
    def name(self) -> str:
        """The registered name, without fields."""
        return self.method.partition(":")[0]


def plan(
    methods: Sequence[str],
    keeps: Sequence[int | float],
    stages: Sequence[Stages],
    seeds: int,
    layers: int,
) -> tuple[list[Configuration], list[str]]:
    """Every configuration, the uncompressed model first.

    Args:
        methods: Names out of ``apet.methods.METHODS``, each with fields if any: ``apet:merge=no``.
        keeps: Budgets.
        stages: ``"off"``, ``"paper"`` or both.
        seeds: Seeds of methods that draw by chance.
        layers: Decoder layers of the model.

    Returns:
        The configurations, and a line for what a method refuses.

    Raises:
        ApETError: If a name, a field or a number is wrong, or no configuration is left.
    """
    if seeds < 1:
        raise ApETError("eval --seeds", str(seeds), "an int of at least 1")
    configurations = [Configuration(FULL)]
    refused: dict[tuple[str, Stages, str], list[str]] = {}
    for spec in dict.fromkeys(methods):
        if spec == FULL:
            continue
        name, fields = parse_method(spec)
        budgets: list[tuple[int | float, Stages]] = [(keep, stage) for stage in stages for keep in keeps]
        alone = not has_budget(name, fields)
        if alone:
            budgets = [(keeps[0], "off")]
        for keep, stage in budgets:
            for seed in range(seeds) if name in SEEDED and "seed" not in fields else (None,):
                own_fields = fields if seed is None else {**fields, "seed": seed}
                try:
                    built = build_method(name, keep, stage, layers, own_fields).fitted(layers)
                except ApETError as error:
                    refused.setdefault((spec, stage, error.expected), []).append(f"{keep}")
                    break
                budget = None if alone else keep
                configurations.append(Configuration(spec, budget, stage, seed, built))
    lines = [
        f"{spec} with stage 2 {stage}, at {', '.join(kept)}: "
        + f"expected {why}".removeprefix("expected None: ")
        for (spec, stage, why), kept in refused.items()
    ]
    if lines and len(configurations) == 1:
        raise ApETError("eval", lines[0], "a configuration that its method accepts")
    return configurations, lines


def has_budget(name: str, fields: Mapping[str, Any]) -> bool:
    """Whether a method is run once per budget: not if it has none, or a tolerance among its fields."""
    return name not in _WITHOUT_BUDGET and fields.get("tolerance") is None


def build_method(
    name: str, keep: int | float, stages: Stages, layers: int, fields: dict[str, Any] | None = None
) -> Method:
    """A method at a budget; with ``"paper"`` that is the average over the decoder layers.

    The budget is not looked at for a method that has none, or a tolerance among its fields.
    """
    fields = fields or {}
    if not has_budget(name, fields):
        return named(name, None, **fields)
    if stages == "off":
        return named(name, keep, **fields)
    if isinstance(keep, int):
        paper = ApET.paper(keep, num_layers=layers, num_tokens=max(keep * 3, 1))
        return named(name, paper.keep, **{"stage2": paper.stage2, **fields})
    if layers % 2:
        raise ApETError("eval --stage2", f"paper for {layers} decoder layers", "an even number of layers")
    return named(name, keep * 1.5, **{"stage2": Stage2(layers // 2, keep / 2), **fields})


def parse_method(spec: str, operation: str = "eval --methods") -> tuple[str, dict[str, Any]]:
    """``"apet:merge=no:basis_size=5"``: the name and its fields; errors name the operation."""
    name, *parts = spec.split(":")
    if name == FULL and not parts:
        return name, {}
    if name not in METHODS:
        raise ApETError(operation, repr(name), one_of([*METHODS, FULL], name))
    known_fields = {field.name for field in dataclasses.fields(METHODS[name])} - {"keep", "stage2"}
    fields = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or key not in known_fields:
            expected = f"{name}:FIELD=VALUE, the field {one_of(sorted(known_fields), key)}"
            raise ApETError(operation, repr(spec), expected)
        fields[key] = _value(value)
    return name, fields


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    number = read_number(text)
    return text if number is None else number
