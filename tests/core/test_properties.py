"""Properties that hold for any tokens and any budget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apet.core import compress, resolve_keep

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
COMMON = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def inputs(draw):
    """Tokens with copies, zeros, huge and tiny rows, in any float dtype, and options that fit."""
    batch, n, d = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 24))
    dtype = draw(st.sampled_from(DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, n, d, generator=generator)
    kind = draw(st.sampled_from(["plain", "copies", "equal", "zeros", "massive", "low rank", "integers"]))
    if kind == "copies":
        x = x[:, torch.randint(0, max(1, n // 3), (n,), generator=generator)]
    elif kind == "equal":
        x = x[:, :1].expand(-1, n, -1).clone()
    elif kind == "zeros":
        x[:, torch.rand(n, generator=generator) < 0.5] = 0
    elif kind == "massive":
        x[:, n // 2] *= 3000
    elif kind == "low rank":
        x = x[..., :1] * x[:, :1]
    elif kind == "integers":
        x = x.round()
    keep = draw(st.one_of(st.integers(1, n), st.floats(0.01, 1.0)))
    options = {
        "basis_size": draw(st.integers(1, n + 5)),
        "basis": draw(st.sampled_from(["fps", "dpc", "random"])),
    }
    return x.to(dtype), keep, options


@COMMON
@given(inputs())
def test_a_decision_is_sound(case):
    x, keep, options = case
    batch, n, d = x.shape
    result = compress(x, keep, **options)
    kept = resolve_keep(keep, n)
    count = min(options["basis_size"], kept)
    assert result.tokens.shape == (batch, kept, d)
    assert result.tokens.dtype == x.dtype
    assert torch.isfinite(result.tokens).all()
    assert torch.isfinite(result.errors).all()
    assert (result.errors >= 0).all()
    assert (result.errors <= x.double().norm(dim=2) * (1 + 1e-5) + 1e-30).all()
    for image in range(batch):
        indices, assignment = result.indices[image].tolist(), result.assignment[image].tolist()
        basis = result.basis[image].tolist()
        assert indices == sorted(set(indices))
        assert len(set(basis)) == count
        assert set(basis) <= set(indices) <= set(range(n))
        assert [assignment[i] for i in indices] == list(range(kept))
        assert set(assignment) == set(range(kept))
        ranked = [i for i in range(n) if i not in basis]
        ranked.sort(key=lambda i: (-float(result.errors[image, i]), i))
        assert sorted(basis + ranked[: kept - count]) == indices
        for slot in range(kept):
            members = [i for i in range(n) if assignment[i] == slot]
            mean = x[image, members].double().mean(0)
            near = 1e-5 if x.dtype in {torch.float32, torch.float64} else 1e-2
            size = float(x[image, members].double().abs().max())
            torch.testing.assert_close(result.tokens[image, slot].double(), mean, rtol=near, atol=1e-6 * size)


@COMMON
@given(inputs())
def test_alone_twice_and_among_others_give_the_same_bits(case):
    x, keep, options = case
    together = compress(x, keep, **options)
    again = compress(torch.cat((x.flip(0), x)), keep, **options)
    for image in range(len(x)):
        alone = compress(x[image], keep, **options)
        for other in (
            together.unbatch()[image],
            again.unbatch()[len(x) - 1 - image],
            again.unbatch()[len(x) + image],
        ):
            for name in ("basis", "indices", "assignment", "errors", "tokens"):
                assert torch.equal(getattr(alone, name), getattr(other, name)), name


@COMMON
@given(inputs(), st.integers(0, 1000))
def test_an_order_of_the_tokens_is_only_an_order(case, seed):
    x, keep, _ = case
    x = x[0]
    if len(torch.unique(x.double().norm(dim=1))) < len(x) or len(x) < 3:
        return
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    there, back = compress(x, keep), compress(x[order], keep)
    if torch.diff(there.errors.double().sort().values).min() < 1e-5 * x.double().norm(dim=1).max():
        return
    assert torch.equal(order[back.basis], there.basis)
    assert torch.equal(order[back.indices].sort().values, there.indices)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_on_any_number_of_threads(draw, threads):
    x = draw(2, 300, 96)
    one = compress(x, 60)
    torch.set_num_threads(threads)
    for _ in range(3):
        many = compress(x, 60)
        for name in ("basis", "indices", "assignment"):
            assert torch.equal(getattr(one, name), getattr(many, name)), name
        torch.testing.assert_close(one.tokens, many.tokens)


def test_memory_layout_does_not_matter(draw):
    x = draw(2, 50, 16)
    views = [
        x.transpose(1, 2).contiguous().transpose(1, 2),
        torch.cat((x, x), dim=2)[..., :16],
        torch.stack((x, x), dim=1).flatten(1, 2)[:, :50],
        x.transpose(0, 1).contiguous().transpose(0, 1),
    ]
    plain = compress(x, 12)
    for view in views:
        other = compress(view, 12)
        for name in ("basis", "indices", "assignment", "errors", "tokens"):
            assert torch.equal(getattr(plain, name), getattr(other, name)), name


def test_expanded_images_share_memory_and_decisions(draw):
    x = draw(1, 50, 16).expand(3, -1, -1)
    result = compress(x, 12)
    assert (result.indices == result.indices[0]).all()
