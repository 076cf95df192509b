"""Methods of others against their published rules, in float64 and plain loops."""

from __future__ import annotations

import oracles
import pytest
import torch

from apet.core import ApETError
from apet.methods import (
    EVS,
    SPARE,
    Attention,
    CDPruner,
    Context,
    HiPrune,
    Places,
    PruMerge,
    ResPrune,
    SparseVLM,
    VidCom2,
    VisPruner,
)


@pytest.fixture
def prompt():
    return torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(6)) + 0.2


@pytest.fixture
def attention():
    generator = torch.Generator().manual_seed(4)
    received, middle = torch.rand(2, 3, 40, generator=generator)
    return Attention(received / 40, torch.randn(3, 40, 6, generator=generator), middle / 40)


def doubled(*tensors):
    return [tensor.double().numpy() for tensor in tensors]


@pytest.mark.parametrize("keep", [1, 2, 7, 15])
def test_cdpruner(tokens, prompt, keep):
    decision = CDPruner(keep).select(tokens, keep, Context(prompt=prompt))
    for image in range(3):
        kept, weights = oracles.cdpruner(*doubled(tokens[image], prompt[image]), keep)
        assert decision.indices[image].tolist() == kept
        torch.testing.assert_close(
            decision.errors[image].double(), torch.tensor(weights), rtol=1e-4, atol=1e-5
        )


def test_cdpruner_beyond_the_rank_and_with_copies(tokens, prompt):
    tokens = tokens.clone()
    tokens[:, 20:30] = tokens[:, :1]
    decision = CDPruner(38).select(tokens, 38, Context(prompt=prompt))
    assert decision.indices.shape == (3, 38)
    assert (decision.indices.diff(dim=1) > 0).all()
    few = CDPruner(12).select(tokens, 12, Context(prompt=prompt)).indices
    assert all(sum(i == 0 or 20 <= i < 30 for i in image) <= 1 for image in few.tolist()), (
        "one copy is enough"
    )


@pytest.mark.parametrize("keep", [1, 2, 7, 15])
@pytest.mark.parametrize(
    ("kind", "weigh"),
    [(ResPrune, lambda r: r), (SPARE, lambda r: max(1 - r, 1e-6))],
    ids=["resprune", "spare"],
)
def test_residuals_with_text(tokens, prompt, keep, kind, weigh):
    for strength in (1.0, 0.5, 0.0):
        decision = kind(keep, strength=strength).select(tokens, keep, Context(prompt=prompt))
        for image in range(3):
            picked = oracles.textual(
                *doubled(tokens[image], prompt[image]), keep, lambda r, power=strength: weigh(r) ** power
            )
            assert decision.basis[image].tolist() == picked
            assert decision.indices[image].tolist() == sorted(picked)


@pytest.mark.parametrize("keep", [1, 2, 9, 20, 33, 39, 40])
def test_vispruner(tokens, attention, keep):
    for important in (0.5, 0.2):
        method = VisPruner(keep, important=important)
        decision = method.select(tokens, keep, Context(attention=attention))
        for image in range(3):
            own = doubled(tokens[image], attention.received[image])
            assert decision.indices[image].tolist() == oracles.vispruner(*own, keep, important)


@pytest.mark.parametrize("keep", [1, 5, 9, 20, 40])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_hiprune(tokens, attention, keep, share):
    context = Context(Places.raster(5, 8, batch=3), attention=attention)
    decision = HiPrune(keep, share=share).select(tokens, keep, context)
    for image in range(3):
        deep, middle = doubled(attention.received[image], attention.middle[image])
        assert decision.indices[image].tolist() == oracles.hiprune(deep, middle, 8, keep, share)


@pytest.mark.parametrize(("layers", "number"), [(24, 8), (12, 3), (2, 0), (27, 9)])
def test_hiprune_finds_its_layer_in_any_depth(layers, number):
    assert HiPrune(9).middle(layers) == number
    with pytest.raises(ApETError, match="layer=30 of an encoder of 24 layers"):
        HiPrune(9, layer=30).middle(24)


@pytest.mark.parametrize("keep", [1, 2, 3, 9, 20, 39, 40])
@pytest.mark.parametrize("neighbours", [1, 7, 32])
def test_prumerge(tokens, attention, keep, neighbours):
    decision = PruMerge(keep, neighbours=neighbours).select(tokens, keep, Context(attention=attention))
    merged = decision.apply(tokens)
    for image in range(3):
        own = doubled(tokens[image], attention.received[image], attention.keys[image])
        expected = oracles.prumerge(*own, keep, neighbours)
        assert decision.indices[image].tolist() == list(expected)
        for slot, row in enumerate(expected.values()):
            torch.testing.assert_close(
                merged[image, slot].double(), torch.from_numpy(row), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize(
    ("keep", "counts"), [(192, (309, 204, 113)), (128, (312, 117, 39)), (64, (82, 32, 18))]
)
def test_sparsevlm_keeps_the_published_counts(keep, counts):
    """By rank 300, 200 and 110 of 576 (and so on), and a tenth of 30% of the rest as clusters."""
    method = SparseVLM(keep)
    assert method.stage1(576) == 576
    assert [stage.layer for stage in method.later] == [3, 7, 16]
    assert tuple(method.behind(stage, 576) for stage in method.later) == counts
    share = SparseVLM(keep / 576)
    assert tuple(share.behind(stage, 576) for stage in share.later) == counts
    assert SparseVLM(keep).fitted(8).layers == (1, 2, 4)


@pytest.mark.parametrize("ranked", [1, 5, 17, 30])
def test_sparsevlm(tokens, attention, ranked):
    gone = 40 - ranked
    kept = ranked + int((int(gone * 0.3) + 1) / 10) + 1
    decision = SparseVLM(9).select(tokens, kept, Context(attention=attention))
    merged = decision.apply(tokens)
    for image in range(3):
        expected = oracles.sparsevlm(*doubled(tokens[image], attention.received[image]), ranked)
        assert decision.indices[image].tolist() == list(expected)
        for slot, row in enumerate(expected.values()):
            torch.testing.assert_close(
                merged[image, slot].double(), torch.from_numpy(row), rtol=1e-5, atol=1e-6
            )


def clips(frames, rows, columns):
    generator = torch.Generator().manual_seed(9)
    still = torch.randn(3, 1, rows * columns, 16, generator=generator)
    moving = torch.randn(3, frames, rows * columns, 16, generator=generator)
    scale = torch.rand(3, frames, rows * columns, 1, generator=generator)
    return (still + scale * moving).flatten(1, 2), Context(
        Places.raster(rows, columns, frames=frames, batch=3)
    )


@pytest.mark.parametrize("keep", [12, 13, 30, 60])
def test_evs(keep):
    x, context = clips(5, 3, 4)
    decision = EVS(keep).select(x, keep, context)
    for image in range(3):
        assert decision.indices[image].tolist() == oracles.evs(x[image].double().numpy(), 5, keep)


@pytest.mark.parametrize("keep", [5, 13, 30])
def test_vidcom2(keep):
    x, context = clips(5, 3, 4)
    decision = VidCom2(keep).select(x, keep, context)
    for image in range(3):
        scores, due = oracles.vidcom2(x[image].double().numpy(), 5, keep)
        kept = decision.indices[image].tolist()
        for frame in range(5):
            own = [i for i in kept if i // 12 == frame]
            assert abs(len(own) - due[frame]) <= 1 or len(own) == 1
            ranked = sorted(range(frame * 12, frame * 12 + 12), key=lambda i: scores[i])
            assert own == sorted(ranked[: len(own)])
        torch.testing.assert_close(
            -decision.errors[image].double(), torch.tensor(scores), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", [EVS, VidCom2])
def test_videos_alone(kind, tokens):
    assert kind(9).unit == "whole"
    with pytest.raises(ApETError, match=f"{kind.__name__}: got an image; expected a whole video"):
        kind(9).select(tokens[:, :36], 9)
    x, context = clips(5, 3, 4)
    part = Context(Places(context.places.index[:, ::2], context.places.extents, video=True))
    with pytest.raises(ApETError, match="a part of a video"):
        kind(9).select(x[:, ::2], 9, part)


def test_evs_needs_its_first_frame():
    x, context = clips(5, 3, 4)
    with pytest.raises(
        ApETError, match="keep=11 of a video; expected at least the 12 tokens of its first frame"
    ):
        EVS(11).select(x, 11, context)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResPrune(9, strength=-1), "ResPrune: got strength=-1; expected a finite number"),
        (lambda: VisPruner(9, important=1.0), "VisPruner: got important=1.0; expected a float between"),
        (lambda: HiPrune(9, share=0.0), "HiPrune: got share=0.0"),
        (lambda: HiPrune(9, layer=0), "HiPrune: got layer=0"),
        (lambda: PruMerge(9, neighbours=0), "PruMerge: got neighbours=0"),
        (
            lambda: SparseVLM(9, layers=(1, 2)),
            r"SparseVLM: got layers=\(1, 2\); expected None or a tuple of three",
        ),
        (lambda: SparseVLM(lambda segment: 9), "SparseVLM: got keep=<function"),
        (lambda: CDPruner(9, at="projector_input"), "CDPruner: got at='projector_input'"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ApETError, match=message):
        build()


def test_what_is_missing_is_named(tokens, attention):
    for method, name in (
        (CDPruner(9), "no prompt"),
        (VisPruner(9), "no attention"),
        (HiPrune(9), "no places"),
    ):
        with pytest.raises(ApETError, match=f"^{type(method).__name__}: got {name}"):
            method.select(tokens, 9)
    context = Context(Places.raster(5, 8, batch=3), attention=Attention(attention.received))
    with pytest.raises(ApETError, match="no attention of a middle layer"):
        HiPrune(9).select(tokens, 9, context)
    with pytest.raises(
        ApETError, match=r"a prompt of shape \(3, 6, 8\); expected .*text embeddings of shape"
    ):
        CDPruner(9).select(tokens, 9, Context(prompt=torch.ones(3, 6, 8)))
