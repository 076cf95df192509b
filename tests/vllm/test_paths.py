"""What an engine does to be fast, or is asked for besides, changes no answer."""

import pytest

import apet
from tests.vllm.engine import NEW_TOKENS, request, run
from tests.vllm.processing import overrides
from tests.vllm.tables import MARKS, QUESTION, longer, requests_of
from tests.vllm.test_engine import quick, same

NAMES = ["llava", "qwen2_5_vl"]
"""Rotary positions of one axis, and of three."""
CHUNK = 16
BLOCK = 32
VISUAL = {"llava": (4,), "qwen2_5_vl": (6, 7), "qwen3_vl": (6, 7)}
"""Placeholders' ids."""


def compared(name, checkpoint, once, rounds, **options):
    """Answers under these options, beside those of a plain engine that was asked one by one."""
    asked = list(requests_of(name).values())
    whole = once(name, [[one] for one in asked], **longer(name))
    found = run(checkpoint(name), rounds, **longer(name) | options)
    got = [one for answers in found for one in answers]
    for number, other in enumerate(got):
        same(other, whole[number % len(asked)][0])
    return got


def alone(name):
    return [[one] for one in requests_of(name).values()]


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_a_compiled_model(checkpoint, once, name):
    options = {"enforce_eager": False, "environment": {"VLLM_DISABLE_COMPILE_CACHE": "1"}}
    assert compared(name, checkpoint, once, alone(name), **options)[-1]["counted"]["graphs"] > 0


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_tokens_guessed_from_the_prompt(checkpoint, once, name):
    guess = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2, "prompt_lookup_min": 1}
    got = compared(name, checkpoint, once, alone(name), speculative_config=guess)
    assert got[-1]["counted"]["spec_decode_num_accepted_tokens"] > 0


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_requests_that_make_room_for_others(checkpoint, once, name):
    """A cache too small for the answers of all that were begun."""
    together = [list(requests_of(name).values()) * 3]
    got = compared(name, checkpoint, once, together, num_gpu_blocks_override=20)
    assert got[-1]["counted"]["num_preemptions"] > 0


@pytest.mark.parametrize("name", quick([*NAMES, "qwen3_vl"], NAMES))
def test_a_chunk_may_end_inside_an_image(checkpoint, once, name):
    """Half of the tokens are kept, so that images span chunks."""
    got = compared(name, checkpoint, once, alone(name), max_num_batched_tokens=CHUNK, max_num_seqs=2)
    split = []
    for one in got:
        visual = [token in VISUAL[name] for token in one["prompt"]]
        split.append(any(visual[at - 1] and visual[at] for at in range(CHUNK, len(visual), CHUNK)))
    assert all(split[1:]), "no image was split"


@pytest.mark.parametrize("name", quick(NAMES, {"llava"}))
def test_pieces_of_an_answer(checkpoint, once, name):
    got = compared(name, checkpoint, once, [list(requests_of(name).values())], stream=True)
    assert any(one["pieces"] > 1 for one in got)  # a reader who is late gets several in one


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_the_cache_knows_budgets_apart(checkpoint, name):
    """One picture behind a long text: under another budget the text is found, and of the picture nothing."""
    text = f"so:{QUESTION * 2} {MARKS[name]['image']}{QUESTION}"
    budgets = (0.5, 0.25, 0.5, 0.25)
    asked = [[request(text, [[1, 112, 112]], apet_keep=keep)] for keep in budgets]
    options = {"hf_overrides": overrides(name, keep=0.5)}
    plain = run(checkpoint(name), asked[:2], enable_prefix_caching=False, **options)
    got = [one for (one,) in run(checkpoint(name), asked, **options)]
    for number, one in enumerate(got):
        same(one, plain[number % 2][0])
    before = next(at for at, token in enumerate(got[0]["prompt"]) if token in VISUAL[name])
    assert before > BLOCK
    assert [one["cached"] for one in got[:2]] == [0, before // BLOCK * BLOCK]
    for one in got[2:]:
        assert one["cached"] == (len(one["prompt"]) - 1) // BLOCK * BLOCK > before


@pytest.mark.parametrize("name", quick(NAMES, {"qwen2_5_vl"}))
def test_an_answer_of_a_given_form(checkpoint, reference, name):
    """Letters that are tokens of their own, so that transformers may be told the same."""
    model = reference(name)
    asked = list(requests_of(name).values())
    ruled = [[one | {"regex": f"[xyz]{{{NEW_TOKENS}}}"} for one in asked]]
    allowed = model.processor.tokenizer.convert_tokens_to_ids(list("xyz"))
    (got,) = run(checkpoint(name), ruled, hf_overrides=overrides(name, keep=0.5))
    for one, other in zip(asked, got, strict=True):
        want = model.answer(one, apet.ApET(0.5), allowed)
        assert other["tokens"] == want["tokens"]
