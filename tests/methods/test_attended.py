"""Methods that decide by attention: what they do with it, whoever gives it."""

from __future__ import annotations

import pytest
import torch

from apet.core import ApETError
from apet.methods import METHODS, Attention, Context, FastV, Places, PyramidDrop, Stage2, VisionZip


@pytest.fixture
def attention():
    generator = torch.Generator().manual_seed(4)
    return Attention(torch.rand(3, 40, generator=generator), torch.randn(3, 40, 6, generator=generator))


def test_fastv_keeps_what_receives_most(tokens, attention):
    decision = FastV(9).select(tokens, 9, Context(attention=attention))
    for image in range(3):
        ranked = sorted(range(40), key=lambda i: -float(attention.received[image, i]))
        assert decision.indices[image].tolist() == sorted(ranked[:9])
    assert torch.equal(decision.errors, attention.received)


def test_fastv_is_one_stage_behind_its_layers():
    method = FastV(9, layer=3)
    assert method.stage1(576) == 576
    assert method.later == (Stage2(3, 9),)
    assert FastV(9).later[0].layer == 2


@pytest.mark.parametrize(
    ("keep", "counts"),
    [
        (0.125, (288, 144, 72)),
        (64, (276, 133, 64)),
        (1, (69, 8, 1)),
        (576, (576, 576, 576)),
        (8, (138, 33, 8)),
    ],
)
def test_pyramiddrop_drops_the_same_share_each_time(keep, counts):
    method = PyramidDrop(keep)
    assert method.stage1(576) == 576
    assert [stage.layer for stage in method.later] == [8, 16, 24]
    assert tuple(method.behind(stage, 576) for stage in method.later) == counts


@pytest.mark.parametrize(("keep", "contextual"), [(64, 10), (128, 20), (192, 30), (2, 1), (1, 0), (5, 1)])
def test_visionzip_splits_as_published(keep, contextual):
    x = torch.randn(1, 196, 8, generator=torch.Generator().manual_seed(0))
    given = Attention(torch.rand(1, 196, generator=torch.Generator().manual_seed(1)), x)
    decision = VisionZip(keep).select(x, keep, Context(attention=given))
    sizes = decision.assignment[0].bincount(minlength=keep)
    dominant = given.received[0].topk(keep - contextual).indices
    assert set(dominant.tolist()) <= set(decision.indices[0].tolist())
    if contextual:
        slots = torch.searchsorted(decision.indices[0], dominant)
        assert (sizes[slots] == 1).all(), "nothing is merged into a dominant token"


@pytest.mark.parametrize("keep", [2, 9, 39, 40])
def test_visionzip_against_a_restatement(tokens, attention, keep):
    decision = VisionZip(keep).select(tokens, keep, Context(attention=attention))
    merged = decision.apply(tokens)
    contextual = min(max(round(keep * 10 / 64), 1), keep - 1)
    for image in range(3):
        received, keys = (
            attention.received[image],
            torch.nn.functional.normalize(attention.keys[image], dim=-1),
        )
        ranked = sorted(range(40), key=lambda i: -float(received[i]))
        dominant, rest = ranked[: keep - contextual], sorted(ranked[keep - contextual :])
        step = max(len(rest) // contextual, 1)
        targets = [rest[number * step] for number in range(contextual)]
        groups = {target: [target] for target in targets}
        for token in rest:
            if token not in targets:
                groups[max(targets, key=lambda t: float(keys[token] @ keys[t]))].append(token)
        assert decision.indices[image].tolist() == sorted(dominant + targets)
        for slot, token in enumerate(decision.indices[image].tolist()):
            others = groups.get(token, [token])[1:]
            own = tokens[image, token].double()
            published = own + tokens[image, others].double().mean(0) if others else own
            torch.testing.assert_close(merged[image, slot].double(), published, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [FastV(9), VisionZip(9)])
def test_without_attention_they_cannot_decide(tokens, attention, method):
    name = type(method).__name__
    with pytest.raises(
        ApETError, match=rf"^{name}: got no attention; expected Context\(attention=\.\.\), weights"
    ):
        method.select(tokens, 9)
    with pytest.raises(ApETError, match=rf"^{name}: got attention of \(3, 40\)"):
        method.select(tokens[:, :30], 9, Context(attention=attention))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FastV(9, layer=0), "FastV: got layer=0; expected an int of at least 1"),
        (lambda: FastV(lambda segment: 9), "FastV: got keep=<function"),
        (lambda: FastV(9, layer=2.0), "FastV: got layer=2.0"),
        (lambda: FastV(9, stage2=Stage2(2, 3)), "FastV: got stage2=.*expected None"),
        (lambda: VisionZip(9, contextual=0.0), "VisionZip: got contextual=0.0; expected a float between"),
        (
            lambda: PyramidDrop(9, layers=()),
            r"PyramidDrop: got layers=\(\); expected None or a tuple of ascending",
        ),
        (lambda: PyramidDrop(9, layers=(4, 4)), r"PyramidDrop: got layers=\(4, 4\)"),
        (lambda: PyramidDrop(9, layers=[4]), r"PyramidDrop: got layers=\[4\]"),
        (lambda: PyramidDrop(9, layers=(True, 4)), r"PyramidDrop: got layers=\(True, 4\)"),
        (lambda: VisionZip(9, contextual=1), "VisionZip: got contextual=1"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ApETError, match=message):
        build()


def test_visionzip_needs_keys(tokens, attention):
    with pytest.raises(ApETError, match="no keys"):
        VisionZip(9).select(tokens, 9, Context(attention=Attention(attention.received)))


@pytest.mark.parametrize(
    ("depth", "layers"), [(32, (8, 16, 24)), (8, (2, 4, 6)), (28, (7, 14, 21)), (3, (1, 2))]
)
def test_pyramiddrop_goes_by_the_models_depth(depth, layers):
    method = PyramidDrop(9).fitted(depth)
    assert method.layers == layers
    assert [stage.layer for stage in method.later] == list(layers)
    assert PyramidDrop(9, layers=(4,)).fitted(depth).layers == (4,)
    assert FastV(9).fitted(depth) == FastV(9)


@pytest.mark.parametrize("name", sorted(name for name, method in METHODS.items() if method.needs))
def test_a_part_in_place_of_a_context_is_refused(name, tokens, attention):
    """The part alone, not in a Context, is said to be one; it never reaches the method as something else."""
    for part, field in ((attention, "attention"), (tokens, "prompt"), (Places.raster(5, 8), "places")):
        with pytest.raises(
            ApETError, match=rf"got context of type .*; expected a Context: Context\({field}=.."
        ):
            METHODS[name](keep=9).select(tokens, 9, part)
