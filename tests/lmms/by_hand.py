"""The figures of tables, counted from answers and questions without lmms-eval."""

from collections import defaultdict
from statistics import mean


def figure(benchmark, asked, answers):
    """A benchmark's figure as tables have it.

    Args:
        benchmark: Its name.
        asked: Questions by task, in order.
        answers: Answers by task, in order.
    """
    return _COUNT[benchmark](
        *((rows, answers[task]) for task, rows in asked.items() if task in _TASKS[benchmark])
    )


_TASKS = {
    "gqa": ["gqa"],
    "mmbench": ["apet_mmbench_en"],
    "mmbench_cn": ["apet_mmbench_cn"],
    "mme": ["mme"],
    "pope": ["pope_adv", "pope_pop", "pope_random"],
    "scienceqa": ["scienceqa_img"],
    "vqav2": ["vqav2_val"],
    "textvqa": ["apet_textvqa"],
    "vizwiz": ["vizwiz_vqa_val"],
}


def _exact(part):
    return 100 * mean(row["answer"].lower() == given.lower() for row, given in zip(*part, strict=True))


def _choice(part):
    return 100 * mean("ABCDE"[row["answer"]] == given for row, given in zip(*part, strict=True))


def _ten(part):
    """A third of a point for every other annotator who says so, at most one; mean over who is left out."""
    scores = []
    for row, given in zip(*part, strict=True):
        said = [a["answer"] if isinstance(a, dict) else a for a in row["answers"]]
        others = [said[:i] + said[i + 1 :] for i in range(10)]
        scores.append(mean(min(1, rest.count(given) / 3) for rest in others))
    return 100 * mean(scores)


def _circular(part):
    """A question is right if it is in every order of its options; the option's text stands for its letter."""
    right = defaultdict(list)
    for row, given in zip(*part, strict=True):
        options = {letter: row[letter].lower() for letter in "AB"}
        said = given if given in options else [k for k, text in options.items() if text in given.lower()]
        right[row["index"] % 1_000_000].append(list(said) == [row["answer"]])
    return 100 * mean(all(turns) for turns in right.values())


def _mme(part):
    """By category the accuracy and the share of pictures with both right, in percent; the sum of these."""
    pictures = defaultdict(lambda: defaultdict(list))
    for row, given in zip(*part, strict=True):
        pictures[row["category"]][row["question_id"]].append(given.lower() == row["answer"].lower())
    categories = [list(category.values()) for category in pictures.values()]
    return sum(100 * mean(map(mean, pairs)) + 100 * mean(map(all, pairs)) for pairs in categories)


def _f1(*parts):
    return 100 * mean(_one_f1(part) for part in parts)


def _one_f1(part):
    pairs = [(row["answer"], given.lower()) for row, given in zip(*part, strict=True)]
    hit = pairs.count(("yes", "yes"))
    true, said = (sum(one == "yes" for one in side) for side in zip(*pairs, strict=True))
    return 2 * hit / (said + true) if hit else 0


_COUNT = {
    "gqa": _exact,
    "mmbench": _circular,
    "mmbench_cn": _circular,
    "mme": _mme,
    "pope": _f1,
    "scienceqa": _choice,
    "vqav2": _ten,
    "textvqa": _ten,
    "vizwiz": _ten,
}
