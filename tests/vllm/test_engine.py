"""Engines against transformers with the same core, and against themselves."""

from __future__ import annotations

import pytest

import apet
from tests.vllm.engine import request, run
from tests.vllm.processing import overrides
from tests.vllm.tables import ENGINE, EXACT, MARKS, requests_of

KEEP = 0.25
BUDGETS = (KEEP, 0.1, 3, 1)
CLOSE = 1e-4
UNCACHED = {"minicpmv4_6", "minicpmv4_7"}
"""Models whose prefixes vLLM does not cache."""
ALIKE = {"interns1", "qwen3_vl_moe", "qwen3_5_moe", "glm4v_moe", "smolvlm", "minicpmv4_7", "cosmos3"}
"""Models whose class says nothing that another's does not."""
ANEW = {"llava", "qwen2_5_vl", "mistral3"}
"""Models that number kept tokens anew in code of their own."""


def quick(names, chosen):
    """Names as parameters; those not chosen are for the full run."""
    return [pytest.param(name, marks=[] if name in chosen else pytest.mark.full) for name in names]


def same(got, want, close=CLOSE):
    """Equal tokens, and log-probabilities that differ by rounding only."""
    assert got["tokens"] == want["tokens"]
    assert got["logprobs"] == pytest.approx(want["logprobs"], abs=close, rel=0)


def as_transformers(reference, one, got, keep, positions="own"):
    """Compares an answer."""
    want = reference.answer(one, apet.ApET(keep, positions=positions))
    assert len(got["prompt"]) == want["short"]
    assert want["short"] < want["length"] * 0.8
    same(got, want)


@pytest.mark.parametrize("name", quick(MARKS, set(MARKS) - ALIKE))
def test_an_engine(checkpoint, reference, subtests, name):
    """Every request alone, once more, and then all together; at last one picture under four budgets."""
    asked = requests_of(name)
    budgets = [next(iter(requests_of(name, apet_keep=keep).values())) for keep in BUDGETS]
    alone = [[one] for one in asked.values()]
    together = [list(asked.values()), budgets * 3]
    outputs = run(
        checkpoint(name),
        [*alone, *alone, *([one] for one in budgets), *together],
        hf_overrides=overrides(name, keep=KEEP),
        **ENGINE.get(name, {}),
    )
    singles, (batch, mixed) = [output[0] for output in outputs[:-2]], outputs[-2:]
    first, again, others = singles[: len(asked)], singles[len(asked) : -4], singles[-4:]
    model = reference(name)
    if name in EXACT:
        for number, (kind, one) in enumerate(asked.items()):
            with subtests.test(f"{kind} equal to transformers"):
                as_transformers(model, one, first[number], KEEP)
        with subtests.test("budgets equal to transformers"):
            for one, got, keep in zip(budgets, others, BUDGETS, strict=True):
                as_transformers(model, one, got, keep)
    else:
        with subtests.test("as many tokens as in transformers"):
            for one, got in zip(asked.values(), first, strict=True):
                assert len(got["prompt"]) == model.answer(one, apet.ApET(KEEP))["short"]
    with subtests.test("the prefix cache changes nothing"):
        for one, other in zip(first, again, strict=True):
            same(other, one)
        assert sum(other["cached"] for other in again) > 0 or name in UNCACHED
    with subtests.test("a batch changes nothing"):
        for one, other in zip(first, batch, strict=True):
            same(other, one)
    with subtests.test("no cache mixes budgets"):
        assert len({len(one["prompt"]) for one in others}) == len(BUDGETS)
        same(others[0], first[0])
        for number, one in enumerate(mixed):
            same(one, others[number % len(BUDGETS)])


@pytest.mark.parametrize("name", quick(EXACT, ANEW))
def test_positions_counted_anew(checkpoint, reference, subtests, name):
    asked = requests_of(name)
    options = {"hf_overrides": overrides(name, keep=KEEP, positions="contiguous")} | ENGINE.get(name, {})
    for (kind, one), (got,) in zip(
        asked.items(), run(checkpoint(name), [[one] for one in asked.values()], **options), strict=True
    ):
        with subtests.test(kind):
            as_transformers(reference(name), one, got, KEEP, "contiguous")


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_everything_kept_is_the_plain_model(checkpoint, name):
    """The plain model is vLLM's own class; the other one took its name over by the environment."""
    asked = [[one] for one in requests_of(name).values()]
    if name.startswith("qwen"):  # what a user wrote is no placeholder, though it has one's name
        written = f"the <|video_pad|> token {MARKS[name]['image']} what is <|image_pad|>?"
        asked.append([request(written, [[1, 224, 168]])])
    options = ENGINE.get(name, {})
    plain = run(checkpoint(name), asked, **options)
    full = run(checkpoint(name), asked, environment={"APET_KEEP": "1.0"}, **options)
    for (one,), (other,) in zip(plain, full, strict=True):
        assert other["prompt"] == one["prompt"]
        same(other, one, close=1e-5)
