"""A few questions in the own format of every benchmark, in folders in place of the public data sets.

`datasets` reads ``lmms-lab-encoder/GQA`` from a folder of that name in the working folder, if there is one.
"""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

from datasets import Dataset, Image

from apet.evaluation import draw_cases


def write_benchmarks(folder: Path) -> dict[str, list[dict]]:
    """Writes every data set.

    Returns:
        The questions by task of lmms-eval, in order; pictures left out.
    """
    yes_no = [case for case in draw_cases(["exist"], 60) if case.answers[0] in ("yes", "no")]
    short = draw_cases(["shape"], 4) + draw_cases(["read"], 3)
    asked = {
        "gqa": _gqa(folder, short),
        "mme": _mme(folder, yes_no),
        "scienceqa_img": _scienceqa(folder, short),
        "vqav2_val": _vqav2(folder, short),
        "apet_textvqa": _textvqa(folder, short),
        "vizwiz_vqa_val": _vizwiz(folder, short),
    }
    asked |= dict(zip(("apet_mmbench_en", "apet_mmbench_cn"), _mmbench(folder, short), strict=True))
    return asked | dict(zip(("pope_adv", "pope_pop", "pope_random"), _pope(folder, yes_no), strict=True))


def _write(folder: Path, name: str, parts: dict[tuple[str, str], list[dict]]) -> None:
    """A data set of configurations and splits, as the Hub keeps it."""
    here = folder / "lmms-lab-encoder" / name
    configs = defaultdict(list)
    for (config, split), rows in parts.items():
        data = Dataset.from_list(rows)
        if "image" in data.column_names:
            data = data.cast_column("image", Image())
        (here / config).mkdir(parents=True, exist_ok=True)
        data.to_parquet(here / config / f"{split}.parquet")
        configs[config].append(f"  - split: {split}\n    path: {config}/{split}.parquet\n")
    head = "".join(f"- config_name: {config}\n  data_files:\n{''.join(s)}" for config, s in configs.items())
    (here / "README.md").write_text(f"---\nconfigs:\n{head}---\n")


def _image(case) -> dict:
    stream = io.BytesIO()
    case.pictures()[0].save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def _bare(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "image"} for row in rows]


def _gqa(folder, cases):
    rows = [
        {"id": str(n), "imageId": f"n{n}", "question": case.turns[0], "answer": case.answers[0]}
        for n, case in enumerate(cases)
    ]
    images = [{"id": f"n{n}", "image": _image(case)} for n, case in enumerate(cases)]
    parts = {
        ("testdev_balanced_instructions", "testdev"): rows,
        ("testdev_balanced_images", "testdev"): images,
    }
    _write(folder, "GQA", parts)
    return rows


def _mme(folder, cases):
    """Two questions to a picture, perception first: the score of a picture counts when both are right."""
    by_picture = defaultdict(list)
    for case in cases:
        by_picture[case.group].append(case)
    pairs = [pair[:2] for pair in by_picture.values() if len(pair) > 1][:4]
    assert len(pairs) == 4
    categories = ("existence", "count", "commonsense_reasoning", "commonsense_reasoning")
    rows = [
        {
            "question_id": f"{category}/{n}.png",
            "question": f"{case.turns[0]} Please answer yes or no.",
            "answer": case.answers[0].capitalize(),
            "category": category,
            "image": _image(case),
        }
        for n, (pair, category) in enumerate(zip(pairs, categories, strict=True))
        for case in pair
    ]
    _write(folder, "MME", {("default", "test"): rows})
    return _bare(rows)


def _pope(folder, cases):
    parts = {}
    for number, split in enumerate(("adversarial", "popular", "random")):
        parts["Full", split] = [
            {
                "id": str(n),
                "question_id": str(n),
                "question": case.turns[0],
                "answer": case.answers[0],
                "image_source": f"COCO_{n}",
                "category": split,
                "image": _image(case),
            }
            for n, case in enumerate(cases[5 * number : 5 * number + 5])
        ]
    _write(folder, "POPE", parts)
    return [_bare(rows) for rows in parts.values()]


def _scienceqa(folder, cases):
    rows = [
        {
            "question": case.turns[0],
            "choices": ["something else", case.answers[0]] if n % 2 else [case.answers[0], "something else"],
            "answer": n % 2,
            "hint": "Look at the picture." if n % 3 else "",
            "image": _image(case),
        }
        for n, case in enumerate(cases)
    ]
    _write(folder, "ScienceQA", {("ScienceQA-IMG", "test"): rows})
    return _bare(rows)


def _vqav2(folder, cases):
    def row(n, case, answers):
        given = [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1} for i, a in enumerate(answers)]
        start = {"question_id": n, "image_id": n, "question": case.turns[0], "image": _image(case)}
        return {**start, "multiple_choice_answer": case.answers[0], "answers": given}

    val = [row(n, case, [case.answers[0]] * 8 + ["other"] * 2) for n, case in enumerate(cases)]
    test = [{**row(n, case, ["none"]), "answers": None} for n, case in enumerate(cases[:2])]
    _write(folder, "VQAv2", {("default", "validation"): val, ("default", "test"): test})
    return _bare(val)


def _textvqa(folder, cases):
    rows = [
        {
            "question_id": n,
            "question": case.turns[0],
            "ocr_tokens": ["STOP", "18"],
            "answers": [case.answers[0]] * 7 + ["other"] * 3,
            "image": _image(case),
        }
        for n, case in enumerate(cases)
    ]
    _write(folder, "textvqa", {("default", "validation"): rows, ("default", "test"): rows[:2]})
    return _bare(rows)


def _vizwiz(folder, cases):
    rows = [
        {
            "question_id": f"VizWiz_val_{n}",
            "question": case.turns[0],
            "answers": [case.answers[0]] * 2 + ["unanswerable"] * 8,
            "category": "other",
            "image": _image(case),
        }
        for n, case in enumerate(cases)
    ]
    _write(folder, "VizWiz-VQA", {("default", "val"): rows, ("default", "test"): rows[:2]})
    return _bare(rows)


def _mmbench(folder, cases):
    """Every question twice, with its options the other way round, as the circular evaluation has it."""
    parts = {}
    for language in ("en", "cn"):
        rows = []
        for n, case in enumerate(cases[:4]):
            for turn in range(2):
                options = ["something else", case.answers[0]]
                first, second = options if turn else options[::-1]
                rows.append(
                    {
                        "index": n + 1_000_000 * turn,
                        "question": case.turns[0],
                        "hint": "nan" if n else "Look at the picture.",
                        "answer": "B" if turn else "A",
                        **{"A": first, "B": second, "C": "nan", "D": "nan"},
                        **{
                            "category": "shape",
                            "L2-category": "perception",
                            "source": "drawn",
                            "split": "dev",
                        },
                        "image": _image(case),
                    }
                )
        parts[language, "dev"] = rows
    _write(folder, "MMBench", parts)
    return [_bare(rows) for rows in parts.values()]
