"""Which implementation runs."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import DEVICE

from apet.core import ApETError, compress, dispatch
from apet.core.dispatch import VARIABLE, kernels_for


@pytest.mark.parametrize("value", ["auto", None])
def test_auto_is_the_default_and_takes_kernels_on_the_gpus_that_have_shown_them(monkeypatch, value):
    monkeypatch.delenv(VARIABLE) if value is None else monkeypatch.setenv(VARIABLE, value)
    chosen = kernels_for(torch.zeros(3, 4, device=DEVICE), 1, "compress")
    shown = DEVICE == "cuda" and torch.cuda.get_device_capability() == dispatch.SHOWN
    assert (chosen is not None) == shown


def test_off_takes_the_core(monkeypatch):
    monkeypatch.setenv(VARIABLE, "off")
    assert kernels_for(torch.zeros(3, 4, device=DEVICE), 1, "compress") is None


@pytest.mark.parametrize(
    ("mode", "capability", "taken"),
    [
        ("auto", (9, 0), True),
        ("auto", (8, 0), False),
        ("auto", (10, 0), False),
        ("on", (8, 0), True),
        ("on", (7, 5), False),
    ],
)
def test_auto_takes_one_generation_and_on_all_since_ampere(monkeypatch, mode, capability, taken):
    monkeypatch.setattr(dispatch, "_capability", lambda index: capability)
    reason = dispatch._why_not(torch.zeros(3, 4, device="meta"), 1, "fps", 1, mode, "cuda")
    assert (reason is None) == taken


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
    from apet.kernels import calls

    def broken(*args):
        raise RuntimeError("launch failed")

    monkeypatch.setattr(calls, "pick_farthest", broken)
    with pytest.raises(RuntimeError, match="launch failed"):
        compress(draw(8, 4), 2)
