"""Tiny models of every family, by model type; see `tests.hf.families.recipe`."""

from __future__ import annotations

from dataclasses import replace

import transformers
from packaging.version import Version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from tests.hf.families import (
    cohere,
    deepseek,
    glm,
    google,
    huggingface,
    ibm,
    internvl,
    liquid,
    llava,
    llava_more,
    meta,
    mistral,
    muse,
    nvidia,
    omni,
    openbmb,
    others,
    others_more,
    qwen,
    qwen_next,
    video,
)
from tests.hf.families.recipe import Recipe

_ALL: dict[str, Recipe] = {
    recipe.name: recipe
    for maker in (
        cohere,
        deepseek,
        glm,
        google,
        huggingface,
        ibm,
        internvl,
        liquid,
        llava,
        llava_more,
        meta,
        mistral,
        muse,
        nvidia,
        omni,
        openbmb,
        others,
        others_more,
        qwen,
        qwen_next,
        video,
    )
    for recipe in maker.RECIPES
}


def _runs(recipe: Recipe, prompt: str = "") -> bool:
    """Whether the installed transformers runs a family, or one of its prompts, by itself."""
    known = recipe.name.split(" ")[0] in CONFIG_MAPPING_NAMES
    return known and Version(transformers.__version__) >= Version(recipe.since.get(prompt, "0"))


ABSENT = (
    *(name for name, recipe in _ALL.items() if not _runs(recipe)),
    *(
        f"{name} ({prompt})"
        for name, recipe in _ALL.items()
        for prompt in recipe.prompts
        if _runs(recipe) and not _runs(recipe, prompt)
    ),
)
"""Recipes and prompts that the installed transformers cannot run itself; only an old one lacks any."""

RECIPES = {
    name: replace(
        recipe, prompts={prompt: rows for prompt, rows in recipe.prompts.items() if _runs(recipe, prompt)}
    )
    for name, recipe in _ALL.items()
    if _runs(recipe)
}
