"""Tiny models of every family, by model type; see `tests.hf.families.recipe`."""

from __future__ import annotations

from tests.hf.families import (
    cohere,
    glm,
    google,
    huggingface,
    internvl,
    llava,
    llava_more,
    meta,
    mistral,
    others,
    others_more,
    qwen,
    qwen_next,
    video,
)
from tests.hf.families.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for maker in (
        cohere,
        glm,
        google,
        huggingface,
        internvl,
        llava,
        llava_more,
        others,
        others_more,
        meta,
        mistral,
        qwen,
        qwen_next,
        video,
    )
    for recipe in maker.RECIPES
}
