"""ApET as the authors' code has it, against that code's steps in float64 and plain loops."""

from __future__ import annotations

import oracles
import pytest
import torch

from apet.core import ApETError
from apet.methods import ApET, Stage2


@pytest.mark.parametrize("slots", ["overwrite", "blend", "append"])
@pytest.mark.parametrize("order", ["place", "rank"])
@pytest.mark.parametrize(("keep", "size"), [(12, 4), (20, 10), (11, 10), (35, 5)])
def test_slots(tokens, slots, order, keep, size):
    for ridge in (1e-5, 1e-1):
        method = ApET(keep, basis_size=size, slots=slots, slot_order=order, ridge=ridge)
        decision = method.select(tokens, keep)
        merged = decision.apply(tokens)
        for image in range(3):
            expected = oracles.authors(tokens[image].double().numpy(), keep, size, slots, order, ridge)
            assert decision.indices[image].tolist() == list(expected)
            for slot, row in enumerate(expected.values()):
                found = merged[image, slot].double()
                torch.testing.assert_close(found, torch.from_numpy(row), rtol=1e-5, atol=1e-5)
            kept = decision.indices[image]
            assert torch.equal(decision.assignment[image, kept], torch.arange(keep))


def test_a_tensor_of_other_width_and_images_alone(tokens):
    method = ApET(12, basis_size=4, slots="blend")
    decision = method.select(tokens, 12)
    other = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mixed = decision.apply(other)
    torch.testing.assert_close(mixed, decision.weights() @ other)
    mixed.sum().backward()
    assert other.grad is not None
    for image, part in enumerate(decision.unbatch()):
        alone = method.select(tokens[image, None], 12)
        assert torch.equal(alone.mix[0], part.mix)
        assert torch.equal(part.apply(tokens[image]), alone.apply(tokens[image, None])[0])


def test_weights_of_a_plain_mean(tokens):
    decision = ApET(9).select(tokens, 9)
    assert decision.mix is None
    torch.testing.assert_close(decision.weights() @ tokens, decision.apply(tokens))


def test_presets():
    llava = ApET.authors("llava-1.5")
    assert (llava.keep, llava.stage2) == (96, Stage2(16, 32))
    assert (llava.positions, llava.slots) == ("contiguous", "overwrite")
    assert ApET.authors("llava-next", 192, num_layers=32).keep == 288
    inner = llava.inside(llava.later[0])
    assert (inner.slot_order, inner.ridge, llava.slot_order) == ("rank", 1e-5, "place")
    video = ApET.authors("video-llava")
    assert (video.keep, video.slots, video.stage2, video.at) == (32, "append", None, "projector_output")
    qwen = ApET.authors("qwen2.5-vl")
    assert (qwen.keep, qwen.slots, qwen.stage2, qwen.positions) == (0.3, "blend", None, "own")
    assert qwen.inside(Stage2(2, 0.1)).ridge == 1e-1
    assert ApET(9).inside(Stage2(2, 3)) == ApET(9)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: ApET.authors("llava"),
            "ApET.authors: got 'llava'; expected one of 'llava-1.5', 'llava-next'",
        ),
        (lambda: ApET.authors("qwen2.5-vl", 64), "average=64 for 'qwen2.5-vl'; expected None: it keeps 0.3"),
        (lambda: ApET.authors("llava-1.5", 63), "ApET.authors: got average=63; expected an even number"),
        (lambda: ApET(9, slots="end"), "ApET: got slots='end'; expected one of 'own', 'overwrite'"),
        (lambda: ApET(9, slots="blend", merge=False), "slots='blend' with merge=False"),
        (lambda: ApET(9, inner_ridge=-1.0), "ridge=-1.0"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ApETError, match=message):
        build()


def test_the_basis_alone_leaves_no_slots(tokens):
    expected = "slots='append' with 9 of 40 tokens kept and 10 basis tokens; expected more kept tokens than"
    with pytest.raises(ApETError, match=expected):
        ApET(9, slots="append").select(tokens, 9)


def test_a_share_names_the_smallest_image(tokens):
    """30% of a small picture are no more than its basis; the authors' code stops in an empty argmax there."""
    method = ApET.authors("qwen2.5-vl")
    with pytest.raises(ApETError, match=r"an image of at least 35 tokens at keep=0\.3"):
        method.select(tokens[:, :34], 10)
    assert method.select(tokens[:, :35], 11).indices.shape == (3, 11)
