"""Engines against transformers with the same core, and against themselves."""

from __future__ import annotations

import pytest

import apet
from tests.vllm.engine import run
from tests.vllm.processing import overrides
from tests.vllm.reference import Reference
from tests.vllm.tables import MARKS, requests_of

KEEP = 0.25
CLOSE = 1e-4
CHUNK = 16
VISUAL = {"llava": (4,), "qwen2_5_vl": (6, 7), "qwen3_vl": (6, 7)}
"""Placeholders' ids."""
EXACT = [name for name in MARKS if name != "qwen3_5"]
HALF = {"qwen3_5": {"dtype": "bfloat16"}}
"""vLLM's linear attention on CPUs takes nothing wider than bfloat16: too coarse beside another engine."""


def same(got, want, close=CLOSE):
    """Equal tokens, and log-probabilities that differ by rounding only."""
    assert got["tokens"] == want["tokens"]
    assert got["logprobs"] == pytest.approx(want["logprobs"], abs=close, rel=0)


@pytest.fixture(scope="module")
def answers(checkpoint):
    """Per model: every request alone, once more, and then all of them together."""
    made = {}

    def of(name):
        if name not in made:
            asked = list(requests_of(name).values())
            alone = [[one] for one in asked]
            outputs = run(checkpoint(name), [*alone, *alone, asked], hf_overrides=overrides(name, keep=KEEP))
            count = len(asked)
            made[name] = {
                "first": [output for (output,) in outputs[:count]],
                "again": [output for (output,) in outputs[count : 2 * count]],
                "together": outputs[-1],
            }
        return made[name]

    return of


@pytest.mark.parametrize("name", EXACT)
def test_equal_to_transformers(checkpoint, answers, name):
    """Images, several images and videos; kept tokens at their own positions where those have three axes."""
    positions = "own" if name.startswith("qwen") else "contiguous"
    reference = Reference(checkpoint(name))
    for one, got in zip(requests_of(name).values(), answers(name)["first"], strict=True):
        want = reference.answer(one, apet.ApET(KEEP, positions=positions))
        assert len(got["prompt"]) == want["short"]
        assert want["short"] < want["length"] * 0.8
        same(got, want)


@pytest.mark.parametrize("name", EXACT)
def test_the_prefix_cache_changes_nothing(answers, name):
    for first, again in zip(answers(name)["first"], answers(name)["again"], strict=True):
        same(again, first)
    assert sum(again["cached"] for again in answers(name)["again"]) > 0


@pytest.mark.parametrize("name", EXACT)
def test_a_batch_changes_nothing(answers, name):
    for first, together in zip(answers(name)["first"], answers(name)["together"], strict=True):
        same(together, first)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "qwen3_vl"])
def test_a_chunk_may_end_inside_an_image(checkpoint, name):
    """Against chunks that take whole prompts; half of the tokens kept, so that images span chunks."""
    asked = [[one] for one in requests_of(name).values()]
    options = {"hf_overrides": overrides(name, keep=0.5), "enable_prefix_caching": False}
    whole = run(checkpoint(name), asked, **options)
    chunked = run(checkpoint(name), asked, max_num_batched_tokens=CHUNK, max_num_seqs=2, **options)
    split = []
    for (one,), (other,) in zip(whole, chunked, strict=True):
        same(other, one)
        visual = [token in VISUAL[name] for token in one["prompt"]]
        split.append(any(visual[at - 1] and visual[at] for at in range(CHUNK, len(visual), CHUNK)))
    assert all(split[1:]), "no image was split"


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_everything_kept_is_the_plain_model(checkpoint, name):
    """The plain model is vLLM's own class; the other one took its name over by the environment."""
    asked = [[one] for one in requests_of(name).values()]
    options = HALF.get(name, {})
    plain = run(checkpoint(name), asked, **options)
    full = run(checkpoint(name), asked, environment={"APET_KEEP": "1.0"}, **options)
    for (one,), (other,) in zip(plain, full, strict=True):
        assert other["prompt"] == one["prompt"]
        same(other, one, close=1e-5)


@pytest.mark.parametrize("name", ["llava", "qwen3_vl"])
def test_requests_with_budgets_of_their_own(checkpoint, answers, name):
    """One picture under four budgets, one after the other and together: no cache mixes them."""
    budgets = (KEEP, 0.1, 3, 1)
    asked = [requests_of(name, apet_keep=keep)["image"] for keep in budgets]
    *alone, together = run(
        checkpoint(name),
        [*([one] for one in asked), asked * 3],
        hf_overrides=overrides(name, keep=KEEP),
    )
    reference = Reference(checkpoint(name))
    positions = "own" if name.startswith("qwen") else "contiguous"
    for number, keep in enumerate(budgets):
        (got,) = alone[number]
        same(got, reference.answer(asked[number], apet.ApET(keep, positions=positions)))
        for other in together[number :: len(budgets)]:
            same(other, got)
    assert len({len(one["prompt"]) for (one,) in alone}) == len(budgets)
    same(alone[0][0], answers(name)["first"][0])


def test_linear_attention_takes_what_is_left(checkpoint):
    """Qwen3.5: fewer tokens, and the same answer alone and in a batch."""
    asked = requests_of("qwen3_5")
    rounds = [*([one] for one in asked.values()), list(asked.values())]
    *alone, together = run(
        checkpoint("qwen3_5"), rounds, hf_overrides=overrides("qwen3_5", keep=KEEP), **HALF["qwen3_5"]
    )
    for (one,), other, tokens in zip(alone, together, (16, 48, 64), strict=True):
        assert other["prompt"] == one["prompt"]
        visual = sum(token in (6, 7) for token in one["prompt"])
        assert visual == tokens * KEEP
        same(other, one)
