"""Every mistake gets one line that names the call and the value, and changes nothing."""

from __future__ import annotations

import pickle

import pytest
import torch

from apet.core import ApETError, compress

GOOD = torch.arange(60, dtype=torch.float32).view(10, 6)


def spoiled(value, dtype=torch.float32):
    tokens = GOOD.repeat(3, 1, 1).to(dtype)
    tokens[1, 4, 2] = value
    return tokens


CASES = {
    "nan": (spoiled(torch.nan), {}, r"tokens \(3, 10, 6\) with NaN or infinite values \(first in image 1\)"),
    "infinite": (spoiled(torch.inf), {}, r"NaN or infinite"),
    "minus infinite": (spoiled(-torch.inf, torch.bfloat16), {}, r"NaN or infinite"),
    "half nan": (spoiled(torch.nan, torch.float16), {}, r"NaN or infinite"),
    "beyond float32": (spoiled(1e60, torch.float64), {}, r"expected values that are finite in float32"),
    "below float32": (1e-60 * GOOD.double(), {}, r"that are zero in float32 \(first in image 0\)"),
    "sparse": (GOOD.to_sparse(), {}, r"tokens of layout torch.sparse_coo; expected a dense tensor"),
    "meta": (GOOD.to("meta"), {}, r"tokens without values"),
    "not a tensor": ([[1.0]], {}, r"tokens of type list; expected a tensor \(N, d\) or \(B, N, d\)"),
    "integers": (GOOD.long(), {}, r"tokens of dtype torch.int64; expected a float dtype"),
    "booleans": (GOOD > 3, {}, r"dtype torch.bool"),
    "complex": (GOOD.to(torch.complex64), {}, r"dtype torch.complex64"),
    "one dimension": (GOOD[0], {}, r"shape \(6,\); expected shape \(N, d\) or \(B, N, d\)"),
    "four dimensions": (GOOD[None, None], {}, r"shape \(1, 1, 10, 6\)"),
    "no tokens": (GOOD[:0], {}, r"empty tokens of shape \(0, 6\)"),
    "no channels": (GOOD[:, :0], {}, r"empty tokens of shape \(10, 0\)"),
    "no images": (GOOD[None][:0], {}, r"empty tokens of shape \(0, 10, 6\)"),
    "keep 0": (GOOD, {"keep": 0}, r"keep=0; expected an int of at least 1"),
    "keep negative": (GOOD, {"keep": -1}, r"keep=-1"),
    "keep above N": (GOOD, {"keep": 11}, r"keep=11 for 10 tokens; expected an int between 1 and 10"),
    "share above 1": (GOOD, {"keep": 1.5}, r"keep=1.5"),
    "share nan": (GOOD, {"keep": float("nan")}, r"keep=nan"),
    "keep bool": (GOOD, {"keep": True}, r"keep=True of type bool"),
    "basis size 0": (GOOD, {"basis_size": 0}, r"basis_size=0; expected an int of at least 1"),
    "basis size float": (GOOD, {"basis_size": 2.0}, r"basis_size=2.0"),
    "unknown basis": (GOOD, {"basis": "kmeans"}, r"basis='kmeans'; expected one of 'fps', 'dpc', 'random'"),
    "basis unhashable": (GOOD, {"basis": ["fps"]}, r"basis=\['fps'\]"),
    "ridge negative": (GOOD, {"ridge": -1e-5}, r"ridge=-1e-05; expected a finite number of at least 0"),
    "ridge nan": (GOOD, {"ridge": float("nan")}, r"ridge=nan"),
    "ridge text": (GOOD, {"ridge": "small"}, r"ridge='small'"),
    "seed negative": (GOOD, {"seed": -1, "basis": "random"}, r"seed=-1"),
    "seed float": (GOOD, {"seed": 0.5}, r"seed=0.5"),
    "start past the end": (GOOD, {"start": 10}, r"start=10 for 10 tokens; expected an int.* between 0 and 9"),
    "start negative": (GOOD, {"start": -1}, r"start=-1 for 10 tokens"),
    "start float": (GOOD, {"start": 1.0}, r"start=1.0"),
    "start bool": (GOOD, {"start": True}, r"start=True"),
    "start with another basis": (GOOD, {"start": 1, "basis": "dpc"}, r"start=1 with basis='dpc'"),
    "start tensor float": (GOOD, {"start": torch.tensor([1.0])}, r"start of dtype torch.float32"),
    "start tensor shape": (
        GOOD.repeat(3, 1, 1),
        {"start": torch.tensor([1, 2])},
        r"start of shape \(2,\).*\(3,\)",
    ),
    "start tensor 2d": (GOOD, {"start": torch.tensor([[1]])}, r"start of shape \(1, 1\)"),
    "start tensor range": (GOOD.repeat(2, 1, 1), {"start": torch.tensor([1, 10])}, r"start=10 for 10 tokens"),
    "merge not a bool": (GOOD, {"merge": "yes"}, r"merge='yes'; expected True or False"),
    "check not a bool": (GOOD, {"check_finite": 1}, r"check_finite=1; expected True or False"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name):
    tokens, options, message = CASES[name]
    with pytest.raises(ApETError, match=r"^compress: got .*" + message) as caught:
        compress(tokens, **{"keep": 4, **options})
    assert "\n" not in str(caught.value)
    assert caught.value.operation == "compress"


def test_it_is_a_value_error_and_survives_pickling():
    with pytest.raises(ValueError, match="keep=0") as caught:
        compress(GOOD, 0)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (ApETError, str(caught.value))
