"""Elsewhere than on a CPU: the same decisions, one wait, and nothing that deterministic mode refuses."""

from __future__ import annotations

import pytest
import torch
from method_table import CONFIGURATIONS, decide
from tests.deterministic import Operations
from tests.selections import tensors_of
from tests.simulated_device import to_device, to_host, watching

from apet.core import ApETError
from apet.core.finite import look_once, reading
from apet.core.measure import Measured
from apet.methods import ApET, Method


def waits(build):
    """What a method of this library costs; what others decide is looked at twice more."""
    return 3 if build(9).foreign() else 1


@pytest.mark.parametrize("keep", [1, 9, 40])
def test_a_decision_waits_once(build, tokens, keep):
    with watching() as log, Operations() as operations:
        found = decide(build(keep), to_device(tokens), keep)
        merged = found.apply(to_device(tokens))
    assert len(log.waits) == waits(build), log.waits
    assert not log.mismatches
    assert operations.refused == set()
    expected = decide(build(keep), tokens, keep)
    for name, value in tensors_of(expected).items():
        assert torch.equal(to_host(getattr(found, name)), value), name
    torch.testing.assert_close(to_host(merged), expected.apply(tokens), rtol=1e-5, atol=1e-6)


def test_many_decisions_wait_once(build, tokens):
    groups = [tokens, tokens[:1, :20], tokens[:2, 7:]]
    with watching() as log:
        given = to_device(groups)
        with reading(look_once(given, "apply", "image")):
            found = [decide(build(9), group, 9) for group in given]
    assert len(log.waits) == 1 + 3 * (waits(build) - 1), log.waits
    for one, group in zip(found, groups, strict=True):
        assert torch.equal(to_host(one.indices), decide(build(9), group, 9).indices)


def test_the_look_refuses(tokens):
    tokens[2, 3, 4] = torch.nan
    with watching(), pytest.raises(ApETError, match=r"^apply: .*first in image 4"):
        look_once(to_device([tokens[:2], tokens]), "apply", "image")


@pytest.mark.parametrize("name", [name for name, make in CONFIGURATIONS.items() if make(9).measures])
@pytest.mark.parametrize("limit", [3, 12, 40])
@pytest.mark.parametrize("scale", [1.0, 1e25])
def test_choosing_is_selecting(tokens, name, limit, scale):
    """Whatever was measured before, in whatever batches."""
    method: Method = CONFIGURATIONS[name](9)
    tokens = tokens * torch.tensor([1.0, scale, 1.0]).view(3, 1, 1)
    parts = [part for image in tokens for part in method.measure(image.unsqueeze(0), limit).unbatch()]
    expected = method.select(tokens, 9)
    for measured in (Measured.batch(parts), method.measure(tokens, limit), None):
        chosen = method.choose(tokens, 9, measured)
        for field, value in tensors_of(expected).items():
            assert torch.equal(getattr(chosen, field), value), field


def test_choosing_reads_no_token_for_the_basis(tokens, monkeypatch):
    method = ApET(9, basis_size=4)
    measured = method.measure(tokens, 40)
    monkeypatch.setattr("apet.core.measure.read_tokens", None)
    with watching() as log:
        method.choose(to_device(tokens), 9, Measured(*to_device(list(vars(measured).values()))))
    assert log.waits == []
