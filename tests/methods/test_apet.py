from __future__ import annotations

import pytest
import torch

from apet.core import ApETError, compress
from apet.methods import ApET, Stage2


def test_it_decides_as_compress_does(tokens):
    options = {"basis_size": 4, "start": 7, "ridge": 1e-3}
    decision, result = ApET(9, **options).select(tokens, 12), compress(tokens, 12, **options)
    for name in ("indices", "assignment", "errors", "basis"):
        assert torch.equal(getattr(decision, name), getattr(result, name))
    assert torch.equal(decision.apply(tokens), result.tokens)


@pytest.mark.parametrize(
    ("average", "first", "second"), [(192, 288, 96), (128, 192, 64), (64, 96, 32), (2, 3, 1)]
)
@pytest.mark.parametrize("layers", [2, 8, 28, 32])
def test_paper_budgets_average_to_what_they_say(average, first, second, layers):
    method = ApET.paper(average, num_layers=layers)
    assert method == ApET(keep=first, stage2=Stage2(layers // 2, second))
    per_layer = [
        method.keep if layer < method.stage2.layer else method.stage2.keep for layer in range(layers)
    ]
    assert sum(per_layer) / layers == average


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((63, 32), "average=63; expected an even number"),
        ((64, 31), "num_layers=31; expected an even number"),
        ((0, 32), "average=0"),
        ((64.0, 32), "average=64.0"),
        ((64, True), "num_layers=True"),
        ((64, 32, 0), "num_tokens=0"),
        ((386, 32), "average=386, which keeps 579 tokens in stage 1; expected at most num_tokens=576"),
        ((64, 32, 95), "average=64, which keeps 96 tokens"),
    ],
)
def test_paper_errors(arguments, message):
    with pytest.raises(ApETError, match=f"^ApET.paper: got {message}"):
        ApET.paper(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis_size": 0}, "basis_size=0"),
        ({"basis": "kmeans"}, "basis='kmeans'"),
        ({"ridge": -1.0}, "ridge=-1.0"),
        ({"seed": -1}, "seed=-1"),
        ({"start": -1}, "start=-1; expected None or an int of at least 0"),
        ({"start": 1.0}, "start=1.0"),
        ({"start": 1, "basis": "random"}, "start=1 with basis='random'"),
        ({"start": 9, "stage2": Stage2(2, 4)}, "start=9 with stage2; expected less than keep=9"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ApETError, match=f"^ApET: got {message}"):
        ApET(9, **options)


def test_a_spared_basis_takes_nothing_in(tokens):
    keep, size = 12, 5
    open_, spared = (
        ApET(keep, basis_size=size, merge_basis=choice).select(tokens, keep) for choice in (True, False)
    )
    assert torch.equal(open_.indices, spared.indices)
    for image in range(len(tokens)):
        kept, basis = spared.indices[image].tolist(), set(spared.basis[image].tolist())
        others = [slot for slot, token in enumerate(kept) if token not in basis]
        x = torch.nn.functional.normalize(tokens[image].double(), dim=1)
        for token, slot in enumerate(spared.assignment[image].tolist()):
            if token in kept:
                assert kept[slot] == token
            else:
                likeness = x[token] @ x[[kept[other] for other in others]].mT
                assert slot == others[int(likeness.argmax())]


def test_where_only_the_basis_is_kept_it_takes_everything_in(tokens):
    open_, spared = (ApET(6, basis_size=6, merge_basis=choice).select(tokens, 6) for choice in (True, False))
    assert torch.equal(open_.assignment, spared.assignment)
