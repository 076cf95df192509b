from __future__ import annotations

import torch

from apet.methods import Random


def test_every_token_is_kept_equally_often(tokens):
    counts = torch.zeros(40)
    for seed in range(800):
        counts[Random(10, seed=seed).select(tokens[:1], 10).indices[0]] += 1
    # 800 draws at 1 in 4: a mean of 200 and a standard deviation of about 12.
    assert counts.sum() == 8000
    assert 140 < counts.min() <= counts.max() < 260


def test_the_draw_depends_on_seed_and_length_alone(tokens):
    one = Random(9, seed=1).select(tokens, 9)
    assert torch.equal(one.indices, Random(9, seed=1).select(-3 * tokens.flip(1), 9).indices)
    assert (one.indices == one.indices[0]).all()
    assert not torch.equal(one.indices, Random(9, seed=2).select(tokens, 9).indices)


def test_it_prunes_unless_asked_to_merge():
    assert not Random(9).merge
    assert Random(9, merge=True).merge


def test_dropped_tokens_go_to_the_most_similar_kept_one(tokens):
    decision = Random(9).select(tokens, 9)
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    for image in range(3):
        similar = (unit[image] @ unit[image, decision.indices[image]].T).argmax(1)
        assert torch.equal(similar, decision.assignment[image])
    assert not decision.errors.any()
    assert decision.basis.shape == (3, 0)
