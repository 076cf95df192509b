"""Training rows: the answer is the target, and a named shape's last word knows its place."""

import pytest
import torch
from training.architecture import build_tokenizer
from training.data import SLOTS, BatchShape, Scenes, lay_out
from training.labels import IGNORE
from training.objective import Heads, unlikeness

from apet.scenes import Question, Shape


def test_a_question_is_laid_out():
    tokenizer = build_tokenizer()
    star, circle = Shape("star", "red", 50, 80, 20, 0), Shape("circle", "blue", 280, 60, 20, 0)
    turn = Question(
        "relation",
        "is the red star left of the blue circle?",
        "yes",
        (("red star", star), ("blue circle", circle)),
        (-1, 0),
    )
    row = lay_out(tokenizer, [turn], 2)
    assert row["ids"].shape == row["targets"].shape == (2, SLOTS)
    assert row["spots"].shape == row["gaps"].shape == (2, SLOTS, 2)
    answer = row["targets"][0][row["targets"][0] != IGNORE]
    assert tokenizer.decode(answer) == "yes</s>"
    places = {
        tokenizer.decode(row["ids"][0, column]).strip(): row["spots"][0, column].tolist()
        for column in (~row["spots"][0].isnan()).all(-1).nonzero()[:, 0]
    }
    assert places == {
        word: pytest.approx([shape.x / 168 - 1, shape.y / 168 - 1])
        for word, shape in (("star", star), ("circle", circle))
    }
    (end,) = (~row["gaps"][0].isnan()).all(-1).nonzero()[:, 0]
    assert tokenizer.decode(row["ids"][0, end]) == "\n"
    assert row["gaps"][0, end].tolist() == pytest.approx([-1, 20 / 84])
    assert row["claims"][0, end].tolist() == [1]
    assert int((~row["claims"][0].isnan()).sum()) == 1
    assert (row["ids"][1] == tokenizer.pad_token_id).all()
    assert row["spots"][1].isnan().all()


def test_a_batch_is_the_same_for_any_number_of_workers():
    tokenizer = build_tokenizer()
    shape = BatchShape(2, 6, 3)
    first, second = (next(iter(Scenes(shape, tokenizer, first=4))) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    following = iter(Scenes(shape, tokenizer, first=2))
    next(following)
    assert torch.equal(next(following)["pixels"], first["pixels"])


def test_unlikeness_is_nothing_where_empty_patches_are_the_same():
    kind = torch.tensor([[1, 0, 0]])
    same = torch.tensor([[[3.0, 4.0], [0.0, 2.0], [0.0, 2.0]]])
    assert float(unlikeness(same, kind)) == 0
    apart = torch.tensor([[[3.0, 4.0], [0.0, 3.0], [0.0, 1.0]]], requires_grad=True)
    value = unlikeness(apart, kind)
    assert float(value) == pytest.approx(0.2)  # a distance of 1 to the mean, beside a norm of 5
    value.backward()
    assert not apart.grad[0, 0].any()
    assert apart.grad[0, 1:].any()
    turned = torch.tensor([[[3.0, 4.0], [1.0, 1.0], [1.0, -1.0]]])
    assert float(unlikeness(turned, kind)) > 0.2 + 0.25


def test_heads_read_every_target():
    heads = Heads(8, 4)
    assert heads.spots(torch.zeros(3, 4)).shape == heads.gaps(torch.zeros(3, 4)).shape == (3, 2)
    assert heads.claims(torch.zeros(3, 4)).shape == (3, 1)
    assert heads(torch.zeros(2, 5, 8))["shape"].shape[:2] == (2, 5)
