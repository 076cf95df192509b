"""Reference cases computed in float64 elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from apet.core import compress, compress_ragged

CASES = sorted((Path(__file__).parents[1] / "golden").glob("*.npz"))


def load(path):
    with np.load(path) as case:
        return {name: case[name] for name in case.files}


def run(case, tokens):
    options = {"basis_size": int(case["basis_size"]), "ridge": float(case["ridge"])}
    return compress(tokens, int(case["keep"]), start=int(case["start"]), **options)


def check(result, case):
    for name in ("basis", "indices", "assignment"):
        np.testing.assert_array_equal(getattr(result, name).numpy(), case[name], err_msg=name)
    norm = np.linalg.norm(case["tokens"], axis=1).max()
    np.testing.assert_allclose(result.errors.numpy(), case["errors"], rtol=1e-5, atol=1e-6 * norm)
    np.testing.assert_allclose(result.tokens.numpy(), case["merged"], rtol=1e-5, atol=1e-6 * norm)


def test_there_are_cases():
    assert {path.stem for path in CASES} == {"clusters", "massive", "wide"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path):
    case = load(path)
    check(run(case, torch.from_numpy(case["tokens"])), case)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden_in_small_blocks(path, small_blocks):
    case = load(path)
    check(run(case, torch.from_numpy(case["tokens"])), case)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden_from_float64_and_transposed_memory(path):
    case = load(path)
    transposed = torch.from_numpy(case["tokens"]).double().T.contiguous().T
    assert not transposed.is_contiguous()
    check(run(case, transposed), case)


def test_golden_cases_in_one_ragged_call_each_beside_other_sizes():
    for path in CASES:
        case = load(path)
        tokens = torch.from_numpy(case["tokens"])
        others = [
            torch.randn(n, tokens.shape[1], generator=torch.Generator().manual_seed(n))
            for n in (144, 50, 256)
        ]
        keep = int(case["keep"])
        results = compress_ragged(
            [others[0], tokens, others[1], tokens, others[2]],
            [keep, keep, 20, keep, 0.5],
            basis_size=int(case["basis_size"]),
            start=torch.tensor([3, int(case["start"]), 0, int(case["start"]), 7]),
            ridge=float(case["ridge"]),
        )
        check(results[1], case)
        check(results[3], case)
