"""Tiny models of every family, by model type; see `tests.hf.families.recipe`."""

from __future__ import annotations

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

ABSENT = tuple(name for name in _ALL if name.split(" ")[0] not in CONFIG_MAPPING_NAMES)
"""Recipes whose model type the installed transformers does not have; only an old one lacks any."""

RECIPES = {name: recipe for name, recipe in _ALL.items() if name not in ABSENT}
