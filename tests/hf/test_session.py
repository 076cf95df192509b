"""What the session tells."""

from __future__ import annotations

import pytest
import torch

import apet.hf
from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove
from apet.methods import ApET, Random, Stage2
from tests.hf.cases import PROMPTS, method
from tests.hf.tiny import ENCODES_FIRST, TOKENS, prompts


def test_results_per_image(llava):
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method("both")) as session:
        llava.generate(**inputs, max_new_tokens=2)
    assert [image.row for image in session.images] == [0, 0, 1]
    assert (session.visual_tokens, session.kept_stage1, session.kept_stage2) == (3 * TOKENS, 36, 15)
    for image in session.images:
        first, second = image.stage1, image.stage2
        assert (image.tokens, image.tokens_stage1, image.tokens_stage2) == (TOKENS, 12, 5)
        assert first.errors.shape == first.assignment.shape == first.candidates.shape == (TOKENS,)
        assert second.errors.shape == second.assignment.shape == second.candidates.shape == (12,)
        assert torch.equal(second.candidates, first.indices)
        assert torch.isin(second.indices, first.indices).all()
        assert torch.isin(second.basis, second.indices).all()
        assert torch.isin(first.basis, first.indices).all()
        assert torch.equal(image.indices, second.indices)
        for stage in (first, second):
            assert (stage.indices.diff() > 0).all()
            assert stage.assignment.max() < len(stage.indices)
            own = torch.searchsorted(stage.candidates, stage.indices)
            assert torch.equal(stage.assignment[own], torch.arange(len(stage.indices)))
            assert stage.errors.dtype == torch.float32
            assert stage.seconds > 0
        assert image.seconds == pytest.approx(first.seconds + second.seconds)
    assert session.seconds > 0


def test_the_decision_is_the_methods_own(llava):
    """Each stage's selection is what the method gives on the very tokens that entered it."""
    inputs = prompts(PROMPTS["one"])
    chosen = method("both")
    seen = {}
    layer = llava.model.language_model.layers[2]
    projector = llava.model.multi_modal_projector
    hooks = [
        projector.register_forward_pre_hook(lambda _, args: seen.update(stage1=args[0])),
        layer.register_forward_pre_hook(lambda _, args: seen.update(hidden=args[0])),
    ]
    try:  # these hooks come first, so they see what goes into the package's
        with compressing(llava, chosen) as session:
            llava(**inputs)
            (image,) = session.images
    finally:
        for hook in hooks:
            hook.remove()
    first = chosen.select(seen["stage1"], 12)
    assert torch.equal(image.stage1.indices, first.indices[0])
    assert torch.equal(image.stage1.assignment, first.assignment[0])
    hidden = seen["hidden"][:, 1 : 1 + 12]  # behind the BOS token
    second = chosen.select(hidden, 5)
    assert torch.equal(image.stage2.indices, first.indices[0][second.indices[0]])
    assert torch.equal(image.stage2.errors, second.errors[0])
    # The stages' tokens and decisions are the core's own.
    assert torch.allclose(image.stage1.tokens, first.apply(seen["stage1"])[0])
    assert torch.allclose(image.stage2.tokens, second.apply(hidden)[0])
    assert torch.equal(image.stage1.selection.apply(seen["stage1"][0]), image.stage1.tokens)
    assert torch.equal(image.stage2.selection.indices, second.indices[0])
    assert torch.equal(image.stage2.selection.basis, second.basis[0])
    # Together they are one decision about the image's tokens.
    whole = image.selection
    assert torch.equal(whole.indices, image.stage2.indices)
    assert torch.equal(whole.assignment, second.assignment[0][first.assignment[0]])
    assert torch.equal(whole.assignment[whole.indices], torch.arange(whole.num_kept))
    assert torch.equal(image.errors, first.errors[0])


def test_an_image_that_keeps_everything_has_a_decision_too(llava):
    with compressing(llava, ApET(keep=1.0)) as session:
        llava(**prompts(PROMPTS["one"]))
        (image,) = session.images
    features = torch.randn(TOKENS, 3)
    assert torch.equal(image.indices, torch.arange(TOKENS))
    assert torch.equal(image.selection.apply(features), features)
    assert not image.errors.any()


def test_a_second_stage_of_a_larger_share_than_the_first_leaves_is_refused(llava):
    chosen = ApET(keep=9, stage2=Stage2(layer=2, keep=0.5))
    with compressing(llava, chosen), pytest.raises(ApETError, match="behind 9 in stage 1"):
        llava(**prompts(PROMPTS["one"]))


def test_a_second_stage_of_a_larger_count_than_the_first_leaves_keeps_that(llava):
    with compressing(llava, ApET(keep=0.25, stage2=Stage2(layer=2, keep=10))) as session:
        llava(**prompts(PROMPTS["one"]))
    assert [(image.tokens_stage1, image.tokens_stage2) for image in session.images] == [(9, 9)]


@pytest.mark.parametrize("rows", ["equal", "ragged"])
def test_an_image_keeps_its_selection_in_any_batch(llava, rows):
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method("stage 1")) as session:
        llava(**inputs)
        together = [image.indices for image in session.images]
        alone = []
        for number in range(len(inputs["pixel_values"])):
            llava.get_image_features(inputs["pixel_values"][number : number + 1], return_dict=True)
            one = prompts(PROMPTS["one"])
            one["pixel_values"] = inputs["pixel_values"][number : number + 1]
            llava(**one)
            alone.append(session.images[0].indices)
    assert all(map(torch.equal, together, alone))


def test_lifetime_and_totals(llava):
    session = apply(llava, method("both"))
    assert session.images == ()
    llava.generate(**prompts(PROMPTS["ragged"]), max_new_tokens=2)
    llava.generate(**prompts(PROMPTS["one"]), max_new_tokens=2, num_beams=2)
    assert len(session.images) == 1
    totals = session.totals
    assert (totals.prefills, totals.images, totals.tokens) == (2, 4, 4 * TOKENS)
    assert (totals.kept_stage1, totals.kept_stage2) == (48, 20)
    assert remove(llava)
    assert len(session.images) == 1
    assert "removed" in repr(session)
    again = apply(llava, method("both"))
    assert again is not session
    assert again.totals.images == 0
    again_images = again.images
    llava.generate(**prompts(PROMPTS["one"]), max_new_tokens=1)
    llava.generate(**prompts([[4]]), max_new_tokens=1)
    assert again.images == again_images == ()
    remove(llava)


def test_another_method(llava):
    """Any method goes through the same mechanism."""
    chosen = Random(keep=10, seed=3, stage2=Stage2(layer=1, keep=4))
    with compressing(llava, chosen) as session:
        cache = llava(**prompts(PROMPTS["one"])).past_key_values
    assert [layer.keys.shape[2] for layer in cache.layers] == [16, 10, 10, 10]
    assert session.images[0].stage2.basis.shape == (0,)


def test_a_second_stage_that_keeps_what_is_left(llava):
    with compressing(llava, type(method("both"))(keep=0.25, stage2=Stage2(layer=2, keep=9))) as session:
        llava(**prompts(PROMPTS["one"]))
        (image,) = session.images
    assert image.stage2 is None
    assert (image.tokens_stage1, image.tokens_stage2) == (9, 9)


def test_supported_models():
    families = apet.hf.supported_models()
    assert [family.model_type for family in families] == sorted({family.model_type for family in families})
    assert "llava" in {family.model_type for family in families}


@pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers encodes every copy")
def test_an_image_is_selected_once_whatever_the_copies(llava, monkeypatch):
    seen = []
    select = ApET.select

    def counted(self, tokens, keep):
        seen.append((tokens.shape[0], tokens.shape[1], keep))
        return select(self, tokens, keep)

    monkeypatch.setattr(ApET, "select", counted)
    with compressing(llava, method("both")):
        llava.generate(**prompts(PROMPTS["ragged"]), max_new_tokens=3, num_beams=3)
    assert seen == [(3, TOKENS, 12), (3, 12, 5)]


def test_the_seconds_of_images_add_up_to_those_of_their_batch(llava):
    """Three images that are selected in one batch have a third of its time each."""
    with compressing(llava, method("stage 1")) as session:
        llava(**prompts(PROMPTS["ragged"]))
    stages = [image.stage1 for image in session.images]
    clocks = {id(clock): clock.seconds for stage in stages for clock in (stage.clock, stage.counting[0])}
    assert len(stages) == 3
    assert sum(stage.seconds for stage in stages) == pytest.approx(sum(clocks.values()))
