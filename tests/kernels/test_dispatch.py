"""Which implementation runs."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import DEVICE

from apet.core import ApETError, compress, dispatch
from apet.core.dispatch import VARIABLE, kernels_for


def test_auto_takes_the_core_on_a_cpu_and_kernels_on_a_gpu(monkeypatch):
    monkeypatch.setenv(VARIABLE, "auto")
    chosen = kernels_for(torch.zeros(3, 4, device=DEVICE), 1, "compress")
    assert (chosen is None) == (DEVICE == "cpu")


@pytest.mark.parametrize("value", ["off", None])
def test_off_is_the_default_and_takes_the_core(monkeypatch, value):
    monkeypatch.delenv(VARIABLE) if value is None else monkeypatch.setenv(VARIABLE, value)
    assert kernels_for(torch.zeros(3, 4, device=DEVICE), 1, "compress") is None


@pytest.mark.parametrize(
    ("options", "dtype", "words"),
    [
        ({"basis": "dpc"}, torch.float32, "basis='dpc'"),
        ({"basis_size": 70}, torch.float32, "basis_size=70"),
        ({}, torch.float64, "float64"),
    ],
)
def test_on_refuses_what_the_kernels_do_not_cover(draw, options, dtype, words):
    with pytest.raises(ApETError, match=words):
        compress(draw(80, 4, dtype=dtype), 75, **options)


def test_on_refuses_tokens_on_a_cpu_outside_the_interpreter(draw, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ApETError, match="tokens on cpu"):
        compress(draw(8, 4).cpu(), 2)


def test_on_refuses_without_triton(draw, monkeypatch):
    monkeypatch.setattr(dispatch, "_installed", lambda: False)
    with pytest.raises(ApETError, match="no triton"):
        compress(draw(8, 4), 2)


def test_on_refuses_where_nothing_is_offered(draw, monkeypatch):
    monkeypatch.setattr(dispatch, "offered", lambda part: None)
    with pytest.raises(ApETError, match="no kernels"):
        compress(draw(8, 4), 2)


def test_other_values_are_refused(draw, monkeypatch):
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(ApETError, match="APET_KERNELS=fast"):
        compress(draw(8, 4), 2)


def test_an_error_in_a_kernel_is_raised(draw, monkeypatch):
    from apet.kernels import decide

    def broken(*args):
        raise RuntimeError("launch failed")

    monkeypatch.setattr(decide, "measure", broken)
    with pytest.raises(RuntimeError, match="launch failed"):
        compress(draw(8, 4), 2)
