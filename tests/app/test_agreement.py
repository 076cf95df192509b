"""What counts as agreement: everything but ties within rounding."""

from __future__ import annotations

import dataclasses

import torch

from apet.app.bench.steps import wrong_choice, wrong_kept, wrong_means
from apet.core import compress


def test_kept_tokens_may_differ_at_a_tie_only():
    errors = torch.tensor([5.0, 1.0, 3.0, 3.00001, 0.5])
    first, second = torch.tensor([0, 2]), torch.tensor([0, 3])
    assert wrong_kept(errors, first, first) is None
    assert wrong_kept(errors, first, second) is None
    assert wrong_kept(errors, first, torch.tensor([0, 1])) == "1 of 2 kept tokens differ"


def test_choices_and_means_are_looked_at():
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    right = compress(x, 6)
    assert wrong_choice(x, right) is None
    assert wrong_means(x, right, 1e-5) is None
    dropped = next(i for i in range(30) if i not in right.indices)
    other = right.assignment.clone()
    other[dropped] = (other[dropped] + 1) % 6
    moved = dataclasses.replace(right, assignment=other)
    assert wrong_choice(x, moved) == "1 tokens are merged into another than the most similar one"
    assert "merged tokens differ" in wrong_means(x, moved, 1e-5)
    x[right.indices[1]] = 3 * x[right.indices[0]]
    slots = right.assignment
    tie = dataclasses.replace(right, assignment=torch.where(slots == 0, 1, torch.where(slots == 1, 0, slots)))
    assert (wrong_choice(x, tie) is None) == (wrong_choice(x, right) is None)
