"""The methods once more, in float64 and one token at a time, written apart from the library."""

from __future__ import annotations

import numpy as np


def cosine(a, b):
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b) / size if size > 0 else 0.0


def greedy(x, keep):
    """Pivots in the order picked, and every token's distance to the span of all of them."""
    picked = []
    left = np.linalg.norm(x, axis=1)
    for _ in range(keep):
        picked.append(max((i for i in range(len(x)) if i not in picked), key=lambda i: (left[i], -i)))
        span = x[picked]
        weights = np.linalg.lstsq(span.T, x.T, rcond=None)[0]
        left = np.linalg.norm(x.T - span.T @ weights, axis=0)
    return picked, left


def divprune(x, keep):
    n = len(x)
    apart = np.array([[1 - cosine(a, b) for b in x] for a in x])
    nearest = [min(apart[i, j] for j in range(n) if j != i) for i in range(n)]
    picked = [int(np.argmax(nearest))]
    while len(picked) < keep:
        rest = [i for i in range(n) if i not in picked]
        picked.append(max(rest, key=lambda i: (min(apart[i, j] for j in picked), -i)))
    return sorted(picked)


def unlike(x, keep, pivots):
    norms = np.linalg.norm(x, axis=1)
    order = sorted(range(len(x)), key=lambda i: -norms[i])[: min(pivots, keep)]
    taken, rest = list(order), keep - len(order)
    for number, pivot in enumerate(order):
        share = rest // len(order) + (1 if number < rest % len(order) else 0)
        others = [i for i in range(len(x)) if i not in taken]
        taken += sorted(others, key=lambda i: cosine(x[i], x[pivot]))[:share]
    return sorted(taken), order


def dart(states, norms, text_states, text_norms, keep, pivots=4, text_pivots=4):
    """By the published rule: pivots by the norms of keys, then what is least like each pivot in turn."""
    heads = sorted(sorted(range(len(norms)), key=lambda i: -norms[i])[: min(pivots, keep)])
    texts = sorted(sorted(range(len(text_norms)), key=lambda i: -text_norms[i])[:text_pivots])
    vectors = [states[i] for i in heads] + [text_states[i] for i in texts]
    taken, rest = list(heads), keep - len(heads)
    for number, vector in enumerate(vectors):
        share = rest // len(vectors) + (1 if number < rest % len(vectors) else 0)
        others = [i for i in range(len(states)) if i not in taken]
        taken += sorted(others, key=lambda i: cosine(states[i], vector))[:share]
    return sorted(taken), heads


def tome(x, keep):
    """Groups of token numbers, each led by the one at whose place it stands."""
    groups = [[i] for i in range(len(x))]
    while len(groups) > keep:
        means = [x[group].mean(0) for group in groups]
        first, second = range(0, len(groups), 2), range(1, len(groups), 2)
        pairs = []
        for a in first:
            b = max(second, key=lambda b: cosine(means[a], means[b]))
            pairs.append((cosine(means[a], means[b]), a, b))
        pairs.sort(reverse=True)
        merged = pairs[: min(len(groups) - keep, len(groups) // 2)]
        for _, a, b in merged:
            groups[b] = groups[b] + groups[a]
        gone = {a for _, a, _ in merged}
        groups = [group for number, group in enumerate(groups) if number not in gone]
    return groups
