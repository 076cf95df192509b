"""Tiny models of every family, by model type; see `tests.hf.families.recipe`."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

import transformers
from packaging.version import Version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from tests.hf.families.recipe import Recipe

_ALL: dict[str, Recipe] = {
    recipe.name: recipe
    for file in iter_modules(__path__)
    for recipe in getattr(import_module(f"{__name__}.{file.name}"), "RECIPES", ())
}


def _runs(recipe: Recipe, prompt: str = "") -> bool:
    """Whether the installed transformers runs a family, or one of its prompts, by itself."""
    known = recipe.name.split(" ")[0] in CONFIG_MAPPING_NAMES
    here = Version(transformers.__version__)
    return known and here >= Version(recipe.since.get(prompt, "0")) and str(here) not in recipe.broken


ABSENT = (
    *(name for name, recipe in _ALL.items() if not _runs(recipe)),
    *(
        f"{name} ({prompt})"
        for name, recipe in _ALL.items()
        for prompt in recipe.prompts
        if _runs(recipe) and not _runs(recipe, prompt)
    ),
)
"""Recipes and prompts that the installed transformers cannot run itself."""

RECIPES = {
    name: replace(
        recipe, prompts={prompt: rows for prompt, rows in recipe.prompts.items() if _runs(recipe, prompt)}
    )
    for name, recipe in _ALL.items()
    if _runs(recipe)
}
