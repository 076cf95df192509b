"""Ways to pick basis tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core_oracle import farthest, restate

from apet.core import compress


def peaks(x, count, neighbours=5):
    """Density peaks in float64, pair by pair."""
    x = x.double().numpy()
    n = len(x)
    squared = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    spread = np.array([np.sort(np.delete(squared[i], i))[:neighbours].mean() for i in range(n)])
    density = np.exp(-spread / spread.mean())
    gap = np.array(
        [
            np.sqrt(
                min((squared[i, j] for j in range(n) if density[j] > density[i]), default=squared[i].max())
            )
            for i in range(n)
        ]
    )
    return np.argsort(-density * gap, kind="stable")[:count]


@pytest.mark.parametrize("n", [2, 4, 6, 30, 75])
@pytest.mark.parametrize("small", [False, True])
def test_density_peaks(draw, n, small, request):
    if small:
        request.getfixturevalue("small_blocks")
    x = draw(n, 12, seed=n)
    count = min(n, 6)
    np.testing.assert_array_equal(
        compress(x, count, basis="dpc", basis_size=6).basis.numpy(), peaks(x, count)
    )


def test_density_peaks_find_the_middle_of_each_cluster(draw):
    centres = 20 * torch.eye(4, 16)
    around = torch.cat(
        [centres[i] + draw(12, 16, seed=i, shared=0.0) * torch.linspace(0, 1, 12)[:, None] for i in range(4)]
    )
    basis = compress(around, 8, basis="dpc", basis_size=4).basis
    assert sorted((basis // 12).tolist()) == [0, 1, 2, 3]


def test_density_peaks_do_not_depend_on_the_unit(draw):
    x = draw(40, 8)
    assert torch.equal(compress(x, 9, basis="dpc").basis, compress(x * 2.0**70, 9, basis="dpc").basis)


@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_equal_tokens_give_distinct_basis_tokens(basis, value):
    x = torch.full((2, 12, 5), value)
    result = compress(x, 4, basis=basis)
    assert all(len(set(row)) == 4 for row in result.basis.tolist())
    torch.testing.assert_close(result.tokens, torch.full((2, 4, 5), value))


def test_farthest_points_break_ties_by_lowest_index():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    result = compress(corners, 6, basis_size=6, start=0)
    assert result.basis.tolist() == [0, 3, 1, 2, 4, 5] == farthest(corners.numpy(), 6, 0)


def test_random_basis_is_one_draw_per_seed_and_length(draw):
    x = draw(3, 30, 8)
    picked = compress(x, 10, basis="random", seed=5).basis
    assert all(torch.equal(row, picked[0]) for row in picked)
    assert torch.equal(compress(x[1], 10, basis="random", seed=5).basis, picked[1])
    assert not torch.equal(compress(x[1], 10, basis="random", seed=6).basis, picked[1])
    assert len({tuple(compress(x[0], 10, basis="random", seed=s).basis.tolist()) for s in range(20)}) > 15


@pytest.mark.parametrize("basis", ["dpc", "random"])
def test_the_other_steps_do_not_depend_on_how_the_basis_was_picked(draw, basis):
    x = draw(50, 16)
    result = compress(x, 14, basis=basis, basis_size=5)
    own = restate(x.numpy(), 14, basis=result.basis.tolist())
    np.testing.assert_array_equal(result.indices.numpy(), own.indices)
    np.testing.assert_array_equal(result.assignment.numpy(), own.assignment)
    np.testing.assert_allclose(result.errors.numpy(), own.errors, rtol=1e-5, atol=1e-5)


def test_global_random_state_is_left_alone(draw):
    x = draw(30, 8)
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    for basis in ("fps", "dpc", "random"):
        compress(x, 10, basis=basis)
    assert torch.equal(torch.random.get_rng_state(), before)
