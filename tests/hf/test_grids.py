"""Families that tell where their tokens lie tell it of every token, once."""

from __future__ import annotations

import pytest

from apet.hf import compressing
from apet.hf.families import FAMILIES
from apet.methods import ApET
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch

TOLD = [
    name
    for name in RECIPES
    if any(modality.grids is not None for modality in FAMILIES[name.split(" ")[0]].modalities)
]


@pytest.mark.parametrize("unit", ["part", "whole"])
@pytest.mark.parametrize("name", TOLD)
def test_every_token_has_one_place(name, unit):
    recipe = RECIPES[name]
    told = {modality.name: modality.grids is not None for modality in FAMILIES[name.split(" ")[0]].modalities}
    model = recipe.build(recipe.attention[0])
    for rows in recipe.prompts.values():
        with compressing(model, ApET(1, unit=unit)) as session:
            model(**batch(recipe, rows))
        places = {}
        for result in session.images:
            assert bool(result.grids) == told[result.modality]
            if not result.grids:
                continue
            for row in result.rows.tolist():
                found = [(n, place) for n, grid in enumerate(result.grids) if (place := grid.place(row))]
                assert len(found) == 1, (row, result.grids)
                places.setdefault((result.modality, result.image, *found[0]), []).append(row)
        assert all(len(rows) == 1 for rows in places.values())
        counts = {(r.modality, r.image): sum(grid.tokens for grid in r.grids) for r in session.images}
        seen = {key: sum(place[:2] == key for place in places) for key in counts if told[key[0]]}
        assert seen == {key: counts[key] for key in seen}
