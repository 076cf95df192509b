"""Decisions as dictionaries of tensors, for tests that compare them."""

from __future__ import annotations


def tensors_of(decision):
    """The tensors of a decision by name, without what it does not have."""
    return {name: value for name, value in vars(decision).items() if value is not None}
