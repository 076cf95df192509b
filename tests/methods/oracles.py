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


def spread(x, keep, rounds, places=None, weight=0.0, reach=0.125, extents=None):
    """Tokens in the order picked, and how alike each token is to its most similar picked one."""

    def alike(i, j):
        value = cosine(x[i], x[j])
        if places is None:
            return value
        steps = (places[i] - places[j]) / (reach * np.asarray(extents))
        return value - weight * (1 - np.exp(-0.5 * float(steps @ steps)))

    n, rounds = len(x), rounds or keep
    picked = [int(np.argmax(np.linalg.norm(x, axis=1)))]
    for done in range(rounds):
        nearest = [max(alike(i, j) for j in picked) for i in range(n)]
        count = int(np.ceil((keep - len(picked)) / (rounds - done)))
        rest = [i for i in range(n) if i not in picked]
        few = sorted(sorted(rest, key=lambda i: (nearest[i], i))[: 4 * count])
        for _ in range(count):
            new = min((i for i in few if i not in picked), key=lambda i: (nearest[i], i))
            picked.append(new)
            for i in few:
                nearest[i] = max(nearest[i], alike(i, new))
    return picked, np.array([1.0 if i in picked else max(alike(i, j) for j in picked) for i in range(n)])


def relevance(x, prompt):
    """Mean cosine similarity to the text, stretched to 0 to 1."""
    raw = [sum(cosine(a, t) for t in prompt) / len(prompt) for a in x]
    low, high = min(raw), max(raw)
    return [(value - low + 1e-6) / (high - low) for value in raw]


def cdpruner(x, prompt, keep):
    """Greedily, whatever raises the determinant of the kernel most."""
    weights = relevance(x, prompt)
    kernel = np.array(
        [[weights[i] * cosine(x[i], x[j]) * weights[j] for j in range(len(x))] for i in range(len(x))]
    )
    picked = []
    while len(picked) < keep:
        rest = [i for i in range(len(x)) if i not in picked]
        picked.append(
            max(rest, key=lambda i: (np.linalg.slogdet(kernel[np.ix_([*picked, i], [*picked, i])])[1], -i))
        )
    return sorted(picked), weights


def textual(x, prompt, keep, weigh):
    """Pivots by residual times weight, in the order picked."""
    weights = [weigh(value) for value in relevance(x, prompt)]
    picked, left = [], np.linalg.norm(x, axis=1)
    for _ in range(keep):
        rest = [i for i in range(len(x)) if i not in picked]
        picked.append(max(rest, key=lambda i: (left[i] * weights[i], -i)))
        span = x[picked]
        left = np.linalg.norm(x.T - span.T @ np.linalg.lstsq(span.T, x.T, rcond=None)[0], axis=0)
    return picked


def vispruner(x, received, keep, important=0.5):
    count = int(keep * important)
    ranked = sorted(range(len(x)), key=lambda i: -received[i])
    chosen, rest = ranked[:count], ranked[count:]
    while len(rest) > keep - count:
        first, second = rest[0::2], rest[1::2]
        gone = min(8, len(rest) - (keep - count), len(first))
        first = sorted(first, key=lambda a: -max(cosine(x[a], x[b]) for b in second))
        rest = first[gone:] + second
    return sorted(chosen + rest)


def hiprune(deep, middle, columns, keep, share=0.1):
    total = len(deep)
    anchors = sorted(range(total), key=lambda i: -middle[i])[: min(round(keep * share / 5), keep // 5)]
    near = {min(max(i + step, 0), total - 1) for i in anchors for step in (0, -1, 1, -columns, columns)}
    others = sorted((i for i in range(total) if i not in near), key=lambda i: -deep[i])
    return sorted([*near, *others[: keep - len(near)]])


def prumerge(x, received, keys, keep, neighbours=32):
    """Kept tokens and what each of them becomes."""
    total, extra = len(x), int(2 < keep < len(x))
    top = (keep - extra + 1) // 2
    chosen = sorted(range(total), key=lambda i: -received[i])[:top]
    spread = keep - extra - top
    if spread:
        rest = [i for i in range(total) if i not in chosen]
        step = max(len(rest) // spread, 1)
        chosen += rest[step // 2 :: step][:spread]
    out = {}
    for i in chosen:
        others = sorted((j for j in range(total) if j != i), key=lambda j: -cosine(keys[i], keys[j]))
        out[i] = x[i] + sum(received[j] * x[j] for j in others[:neighbours])
    if extra:
        gone = [i for i in range(total) if i not in chosen]
        out[max(gone, key=lambda i: received[i])] = sum(received[j] * x[j] for j in gone)
    return dict(sorted(out.items()))


def sparsevlm(x, received, ranked):
    """Kept tokens and what each of them becomes: ranked ones, and clusters of 30% of the others."""
    order = sorted(range(len(x)), key=lambda i: -received[i])
    stay, gone = sorted(order[:ranked]), order[ranked:]
    recycled = sorted(gone[: min(int(len(gone) * 0.3) + 1, len(gone))])
    count = int(len(recycled) / 10) + 1
    apart = {(i, j): np.linalg.norm(x[i] - x[j]) / x.shape[1] ** 0.5 for i in recycled for j in recycled}
    density = {
        i: np.exp(-np.mean([d**2 for d in sorted(apart[i, j] for j in recycled)[:count]])) for i in recycled
    }
    farthest = max(apart.values())
    above = {
        i: min((apart[i, j] for j in recycled if density[j] > density[i]), default=farthest) for i in recycled
    }
    peaks = sorted(recycled, key=lambda i: -above[i] * density[i])[:count]
    members = {peak: [peak] for peak in peaks}
    for i in recycled:
        if i not in peaks:
            members[min(peaks, key=lambda peak: apart[i, peak])].append(i)
    out = {i: x[i] for i in stay} | {
        peak: np.mean([x[i] for i in own], axis=0) for peak, own in members.items()
    }
    return dict(sorted(out.items()))


def evs(x, frames, keep):
    per = len(x) // frames
    score = {i: 1 - cosine(x[i], x[i - per]) for i in range(per, len(x))}
    return sorted([*range(per), *sorted(score, key=lambda i: -score[i])[: keep - per]])


def vidcom2(x, frames, keep):
    """Scores of the tokens, and the published share of each frame, not rounded."""
    per = len(x) // frames
    variances = x.var(axis=0)
    channels = sorted(range(x.shape[1]), key=lambda c: variances[c])[: x.shape[1] // 2]
    unit = np.array([row[channels] / np.linalg.norm(row[channels]) for row in x])

    def like(a, b):
        return sum(np.exp(-float((a - b) @ (a - b)) / (2 * 2.0**k)) for k in range(-3, 2))

    video = [like(row, unit.mean(axis=0)) for row in unit]
    frame = [
        like(row, unit[i // per * per : i // per * per + per].mean(axis=0)) for i, row in enumerate(unit)
    ]
    means = [np.mean(video[f * per : f * per + per]) for f in range(frames)]
    raw = np.exp([(min(means) - mean) / 0.01 for mean in means])
    weights = raw / raw.sum()
    shares = [min(keep / len(x) * (1 + weight - weights.mean()), 1.0) for weight in weights]
    return [a + b for a, b in zip(video, frame, strict=True)], [share * per for share in shares]


def sampled(x, size, start):
    """Farthest point sampling."""
    picked, apart = [start], np.full(len(x), np.inf)
    while len(picked) < size:
        apart = np.minimum(apart, ((x - x[picked[-1]]) ** 2).sum(1))
        picked.append(int(np.argmax(apart)))
    return picked


def authors(x, keep, size, slots, order, ridge=1e-5):
    """Kept places and what stands at each: ranked, replaced, merged as that code does it."""
    basis = sampled(x, size, int(np.argmax(np.linalg.norm(x, axis=1))))
    seeds = x[basis]
    weights = np.linalg.solve(seeds @ seeds.T + ridge * np.eye(size), seeds @ x.T).T
    errors = np.linalg.norm(x - weights @ seeds, axis=1)
    ranked = sorted(range(len(x)), key=lambda i: -errors[i])
    if slots == "append":
        stay, last = ranked[: keep - size], []
        out = {}
    else:
        stay, last = ranked[: keep - size], ranked[keep - size : keep]
        last = sorted(last) if order == "place" else last
        share = {"overwrite": 1.0, "blend": 0.5}[slots]
        out = {i: share * seed + (1 - share) * x[i] for i, seed in zip(last, seeds, strict=True)}
    groups = {i: [i] for i in stay}
    for i in range(len(x)):
        if i not in stay and i not in last:
            groups[max(stay, key=lambda j: cosine(x[i], x[j]))].append(i)
    out |= {i: x[own].mean(0) for i, own in groups.items()}
    if slots == "append":
        out |= {i: x[i] for i in basis}
    return dict(sorted(out.items()))
