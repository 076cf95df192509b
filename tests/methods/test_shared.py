"""What holds for every method."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from method_table import CONFIGURATIONS, REPLACING, decide
from tests.core.test_memory import Sizes

from apet.core import ApETError, Selection
from apet.methods import METHODS, Attended, Inside, Method, Spread, Stage2

FIELDS = ("indices", "assignment", "errors", "basis")


def test_every_registered_method_is_in_the_table():
    chosen = {type(build(4)) for build in CONFIGURATIONS.values()}
    assert chosen | set(REPLACING.values()) >= set(METHODS.values())
    assert all(issubclass(method, Method) and name == name.lower() for name, method in METHODS.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("keep", [1, 9, 40])
def test_decisions_are_sound(build, tokens, dtype, keep):
    before = tokens.to(dtype)
    given = before.clone()
    decision = decide(build(0.5), given, keep)
    assert isinstance(decision, Selection)
    assert torch.equal(given, before)
    assert decision.indices.shape == (3, keep)
    assert decision.assignment.shape == decision.errors.shape == (3, 40)
    assert decision.basis.shape[0] == 3
    assert (decision.indices.dtype, decision.assignment.dtype, decision.basis.dtype) == (torch.int64,) * 3
    assert decision.errors.dtype == torch.float32
    assert (decision.indices.diff(dim=1) > 0).all()
    assert torch.equal(decision.assignment.gather(1, decision.indices), torch.arange(keep).expand(3, keep))
    for image in range(3):
        assert set(decision.basis[image].tolist()) <= set(decision.indices[image].tolist())
    assert decision.apply(given).dtype == dtype


def test_an_image_alone_twice_and_again(build, tokens):
    together = decide(build(9), torch.cat((tokens, tokens[:1])), 9)
    torch.rand(5)
    for image in (0, 1, 2, 3):
        alone = decide(build(9), tokens[image % 3][None], 9)
        for name in FIELDS:
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[image]), name


def test_an_image_of_usual_size_alone_and_in_a_batch(build):
    x = torch.randn(2, 196, 192, generator=torch.Generator().manual_seed(2))
    x[:, 100:140] = x[:, :1]
    together = decide(build(50), x, 50)
    for image in range(2):
        alone = decide(build(50), x[image, None], 50)
        for name in FIELDS:
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[image]), name


@pytest.mark.parametrize("kind", ["copies", "equal", "zeros", "huge", "tiny", "one channel"])
@pytest.mark.parametrize("keep", [1, 2, 13, 40])
def test_degenerate_tokens(build, tokens, kind, keep):
    x = {
        "copies": tokens[:, :5].repeat(1, 8, 1),
        "equal": tokens[:, :1].repeat(1, 40, 1),
        "zeros": torch.zeros_like(tokens),
        "huge": 1e30 * tokens,
        "tiny": 1e-30 * tokens,
        "one channel": tokens[..., :1],
    }[kind]
    decision = decide(build(keep), x, keep)
    assert (decision.indices.diff(dim=1) > 0).all()
    assert torch.equal(decision.assignment.gather(1, decision.indices), torch.arange(keep).expand(3, keep))
    assert torch.isfinite(decision.errors).all()
    assert torch.isfinite(decision.apply(x)).all()


def test_no_tensor_of_every_token_by_every_kept_one(build):
    x = torch.randn(1, 300, 64, generator=torch.Generator().manual_seed(2))
    with Sizes(x) as sizes:
        decide(build(100), x, 100)
    assert sizes.largest[0] <= 8 * 300 * 300, sizes.largest  # of 4 * 300 * 100 * 64, and pairs in float64


def test_global_random_state_is_left_alone(build, tokens):
    before = torch.random.get_rng_state()
    decide(build(9), tokens, 9)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_bad_tokens_and_budgets(build, tokens):
    tokens[1, 2, 3] = torch.nan
    for given, keep, message in (
        (tokens, 9, "NaN or infinite"),
        (tokens.long(), 9, "dtype torch.int64"),
        (tokens[:, :0], 9, "empty tokens"),
        (tokens[:1], 41, "keep=41 for 40 tokens"),
        (tokens[:1], 0, "keep=0"),
    ):
        with pytest.raises(ApETError, match=message):
            decide(build(9), given, keep)


def test_it_is_frozen_hashable_and_comparable(build):
    method = build(9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.keep = 3
    assert method == build(9) != build(8)
    assert len({method, build(9), build(8)}) == 2
    assert dataclasses.replace(method, keep=5).keep == 5


def test_shared_fields_and_their_defaults(build):
    method = build(0.25)
    published = {"sparsevlm": "contiguous"}.get(type(method).__name__.lower(), "own")
    at = "projector_output" if isinstance(method, Spread) else "auto"
    assert (method.keep, method.positions, method.stage2, method.at) == (0.25, published, None, at)
    assert method.unit == ("part" if "image" in method.takes else "whole")
    stage2 = None if isinstance(method, Attended | Inside) else Stage2(4, 2)
    method = build(9, merge=True, positions="contiguous", stage2=stage2, at="projector_output")
    assert (method.merge, method.positions, method.stage2) == (True, "contiguous", stage2)
    assert method.at == "projector_output"


@pytest.mark.parametrize(
    ("keep", "shared", "message"),
    [
        (0, {}, r"keep=0; expected an int of at least 1"),
        (1.5, {}, r"keep=1.5"),
        (True, {}, r"keep=True of type bool"),
        (9, {"merge": 1}, r"merge=1; expected True or False"),
        (9, {"positions": "gapped"}, r"positions='gapped'; expected one of 'own', 'contiguous'"),
        (9, {"positions": ["own"]}, r"positions=\['own'\]"),
        (
            9,
            {"at": "projector"},
            r"at='projector'; expected one of 'auto', 'projector_input', 'projector_output'",
        ),
        (9, {"unit": "tile"}, r"unit='tile'; expected one of 'part', 'whole'"),
        (9, {"stage2": (4, 2)}, r"stage2=\(4, 2\); expected a Stage2 or None"),
        (9, {"stage2": Stage2(4, 10)}, r"stage2.keep=10; expected at most keep=9"),
        (0.1, {"stage2": Stage2(4, 0.2)}, r"stage2.keep=0.2; expected at most keep=0.1"),
    ],
)
def test_errors_name_the_method_and_the_value(build, keep, shared, message):
    name = type(build(9)).__name__
    with pytest.raises(ApETError, match=f"^{name}: got {message}"):
        build(keep, **shared)


@pytest.mark.parametrize(
    ("layer", "keep", "message"),
    [
        (0, 4, "layer=0; expected an int of at least 1"),
        (-1, 4, "layer=-1"),
        (2.0, 4, "layer=2.0"),
        (True, 4, "layer=True"),
        (2, 0, "keep=0"),
        (2, 1.01, "keep=1.01"),
        (2, None, "keep=None"),
    ],
)
def test_stage2_errors(layer, keep, message):
    with pytest.raises(ApETError, match=f"^Stage2: got {message}"):
        Stage2(layer, keep)


def test_a_method_without_a_decision_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Method(4)
