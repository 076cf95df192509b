"""The method once more, in float64 and one token at a time, written apart from the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Answer:
    basis: np.ndarray
    errors: np.ndarray
    indices: np.ndarray
    assignment: np.ndarray
    merged: np.ndarray


def restate(x, keep, basis_size=10, start=None, ridge=1e-5, basis=None):
    """Compresses ``x (N, d)`` to ``keep`` tokens. ``basis`` overrides farthest point sampling."""
    x = np.asarray(x, dtype=np.float64)
    n = len(x)
    if basis is None:
        basis = farthest(x, min(basis_size, keep), int((x**2).sum(1).argmax()) if start is None else start)
    span = x[basis]
    inverse = np.linalg.inv(span @ span.T + ridge * np.eye(len(basis)))
    errors = np.array([np.linalg.norm(row - span.T @ (inverse @ (span @ row))) for row in x])
    rest = sorted((i for i in range(n) if i not in set(basis)), key=lambda i: (-errors[i], i))
    indices = sorted([*basis, *rest[: keep - len(basis)]])
    assignment = [
        indices.index(i) if i in indices else int(np.argmax([cosine(x[i], x[j]) for j in indices]))
        for i in range(n)
    ]
    merged = [np.mean([x[i] for i in range(n) if assignment[i] == slot], axis=0) for slot in range(keep)]
    return Answer(np.array(basis), errors, np.array(indices), np.array(assignment), np.array(merged))


def farthest(x, count, start):
    chosen = [start]
    while len(chosen) < count:
        gaps = [min(((row - x[j]) ** 2).sum() for j in chosen) for row in x]
        chosen.append(max((i for i in range(len(x)) if i not in chosen), key=lambda i: (gaps[i], -i)))
    return chosen


def cosine(a, b):
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b) / size if size > 0 else 0.0


def restate_count(x, tolerance, least=1, most=None, basis_size=10):
    """Tokens kept under an error bound, by trying every number of them."""
    x = np.asarray(x, dtype=np.float64)
    most = len(x) if most is None else most
    answer = restate(x, most, basis_size)
    bound = tolerance * (x**2).sum()
    lost = sorted((answer.errors[i] ** 2 for i in range(len(x)) if i not in set(answer.basis)), reverse=True)
    for kept in range(max(least, len(answer.basis)), most):
        if sum(lost[kept - len(answer.basis) :]) <= bound:
            return kept
    return most
