"""Run the kernels and the core, and compare them."""

from __future__ import annotations

import pytest
import torch

from apet.core import compress
from apet.core.dispatch import VARIABLE

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DECISION = ("basis", "indices", "assignment")


def by_core(call, *args, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "off")
        return call(*args, **options)


def same_bits(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in (*DECISION, "errors", "tokens"))


def check(ours, core, x):
    """The decision is the core's; errors and means are so up to float32's rounding, or the dtype's."""
    for name in DECISION:
        assert torch.equal(getattr(ours, name), getattr(core, name)), name
    peak = float(x.double().abs().amax())
    assert ours.errors.dtype == torch.float32
    torch.testing.assert_close(ours.errors, core.errors, rtol=2e-5, atol=4e-6 * peak)
    assert ours.tokens.dtype == x.dtype
    step = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}[x.dtype]
    torch.testing.assert_close(ours.tokens.double(), core.tokens.double(), rtol=step, atol=step * peak * 1e-2)


def compare(x, keep, **options):
    ours = compress(x, keep, **options)
    check(ours, by_core(compress, x, keep, **options), x)
    return ours
