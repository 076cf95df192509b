"""Applying and removing: nothing is left behind, on the very objects that were touched."""

from __future__ import annotations

import copy
from pathlib import Path
from types import FunctionType

import pytest
import torch
import transformers

import apet.hf
from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove, session
from apet.methods import ApET
from tests.hf.cases import PROMPTS, method
from tests.hf.tiny import prompts, tiny_llava


def snapshot(model):
    """Every instance attribute and hook of every module, by identity."""
    state = {}
    for name, module in model.named_modules():
        for key, value in module.__dict__.items():
            if "_hooks" in key and isinstance(value, dict):
                state[name, key] = list(value.items())
            elif key not in ("_parameters", "_buffers", "_modules"):
                state[name, key] = id(value)
    return state


@pytest.fixture
def model():
    """A model of its own; run once, because transformers itself installs hooks on the first call."""
    own = tiny_llava()
    own.generate(**prompts(PROMPTS["one"]), max_new_tokens=2, do_sample=False)
    return own


def test_hooks_are_there_and_gone(model):
    before = snapshot(model)
    apply(model, method("both"))
    during = snapshot(model)
    assert during != before, "a snapshot sees what is put on a model"
    session = apet.hf.session(model)
    model.generate(**prompts(PROMPTS["ragged"]), max_new_tokens=3, num_beams=2)
    assert {(image.tokens_stage1, image.tokens_stage2) for image in session.images} == {(12, 5)}
    assert remove(model)
    assert snapshot(model) == before


def test_removed_after_an_exception_inside_generate(model):
    before = snapshot(model)
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 3:
            hook.remove()
            raise RuntimeError("broken layer")

    plain = model(**prompts(PROMPTS["one"])).logits
    hook = model.model.language_model.layers[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken layer"), compressing(model, method("both")):
        model.generate(**prompts(PROMPTS["one"]), max_new_tokens=8, do_sample=False)
    assert snapshot(model) == before
    assert torch.equal(model(**prompts(PROMPTS["one"])).logits, plain)


@pytest.mark.parametrize("where", ["layers.3", "rotary_emb", "layers.0"])
def test_state_does_not_outlive_a_failed_prefill(model, where):
    """After an exception in prefill, the next call under the same compression is right."""
    inputs = prompts(PROMPTS["one"])
    text = {"input_ids": torch.tensor([[1, 5, 7]])}
    plain = model(**text).logits

    def fail(*_):
        raise RuntimeError("broken")

    with compressing(model, method("both")):
        expected = model(**inputs).logits
        hook = model.model.language_model.get_submodule(where).register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="broken"):
            model(**inputs)
        hook.remove()
        assert torch.equal(model(**text).logits, plain)
        assert torch.equal(model(**inputs).logits, expected)


def test_state_does_not_outlive_a_failed_encoding(model):
    inputs = prompts(PROMPTS["one"])
    with compressing(model, method("both")):
        expected = model(**inputs).logits
        with pytest.raises(ApETError):
            model(**{**inputs, "pixel_values": torch.full_like(inputs["pixel_values"], torch.nan)})
        assert torch.equal(model(**inputs).logits, expected)


def test_attributes_of_others_come_back(model):
    """A generate that someone else had put on the instance is restored, not deleted."""
    mine = model.generate
    model.generate = mine
    with compressing(model, method("stage 1")):
        assert model.generate is not mine
    assert model.__dict__["generate"] is mine


@pytest.mark.parametrize("where", ["", "model.language_model.layers.3"])
def test_what_others_put_around_ours_stays_and_ours_passes_on(model, where):
    """As accelerate does to move weights; under the compression, and behind it."""
    owner, inputs = model.get_submodule(where), prompts(PROMPTS["one"])
    name, calls = ("forward" if where else "generate"), []
    options = {"max_new_tokens": 4, "do_sample": False}
    plain = model.generate(**inputs, **options)
    logits = model(**inputs).logits
    found = apply(model, method("both"))
    expected = model.generate(**inputs, **options)
    inner = getattr(owner, name)

    def theirs(*args, **kwargs):
        calls.append(1)
        return inner(*args, **kwargs)

    setattr(owner, name, theirs)
    assert torch.equal(model.generate(**inputs, **options), expected)
    assert calls
    assert found.images
    assert remove(model)
    assert getattr(owner, name) is theirs
    calls.clear()
    assert torch.equal(model.generate(**inputs, **options), plain)
    assert calls
    assert torch.equal(model(**inputs).logits, logits)
    with compressing(model, method("both")):
        assert torch.equal(model.generate(**inputs, **options), expected)
    assert getattr(owner, name) is theirs
    delattr(owner, name)


def test_applying_again(model):
    first = apply(model, method("both"))
    installed = snapshot(model)
    assert apply(model, method("both")) is first
    assert snapshot(model) == installed
    with pytest.raises(ApETError, match=r"apet\.remove\(model\) first"):
        apply(model, method("stage 1"))
    assert snapshot(model) == installed
    assert session(model) is first
    assert first.active
    assert remove(model)
    assert not first.active


def test_removing_what_was_never_applied(model):
    before = snapshot(model)
    assert not remove(model)
    assert snapshot(model) == before
    with pytest.raises(ApETError, match="not compressed"):
        session(model)


def test_nesting(model):
    before = snapshot(model)
    with compressing(model, method("both")) as outer:
        with compressing(model, method("both")) as inner:
            assert inner is outer
        assert outer.active
        with pytest.raises(ApETError, match="remove"), compressing(model, ApET(keep=3)):
            pass
        assert outer.active
    assert snapshot(model) == before
    apply(model, method("both"))
    with compressing(model, method("both")):
        pass
    assert session(model).active, "the block must not remove what it did not apply"
    remove(model)


def test_a_compressed_model_is_not_copied(model):
    apply(model, method("both"))
    with pytest.raises(ApETError, match="deepcopy: got a model under compression"):
        copy.deepcopy(model)
    remove(model)
    copy.deepcopy(model)


def test_saved_weights_are_untouched(model, tmp_path):
    model.save_pretrained(tmp_path / "plain")
    with compressing(model, method("both")):
        model.save_pretrained(tmp_path / "compressed")
    plain, compressed = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("plain", "compressed")
    )
    assert compressed == plain
    again = type(model).from_pretrained(tmp_path / "compressed")
    inputs = prompts(PROMPTS["one"])
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)


def test_nothing_is_patched_on_import(model):
    """Neither the import nor the use of the package touches a class of transformers."""
    with compressing(model, method("both")):
        model(**prompts(PROMPTS["one"]))
    ours = Path(apet.hf.__file__).parents[1]
    layer = type(model.model.language_model.layers[0])
    classes = [*type(model).__mro__, *type(model.model).__mro__, layer, *transformers.StaticCache.__mro__]
    for cls in {*classes, transformers.DynamicCache}:
        if cls.__module__.startswith("transformers"):
            for name, value in vars(cls).items():
                if isinstance(value, FunctionType):
                    where = Path(value.__code__.co_filename)
                    assert apet.hf.__name__ not in str(value.__module__), name
                    assert ours not in where.parents, (cls, name)
