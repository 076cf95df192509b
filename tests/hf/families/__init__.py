"""Tiny models of every family, by model type; see `tests.hf.families.recipe`."""

from __future__ import annotations

from tests.hf.families import cohere, huggingface, internvl, llava, meta, qwen
from tests.hf.families.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for maker in (cohere, huggingface, internvl, llava, meta, qwen)
    for recipe in maker.RECIPES
}
