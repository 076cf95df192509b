"""Writes the page about what each choice of ``spread`` is worth, on both models: ``make ablations``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from apet.app.evaluate import load_subject
from apet.evaluation.configurations import FULL, plan
from apet.evaluation.runner import configuration_key, run
from apet.evaluation.statistics import bootstrap
from apet.evaluation.store import Store
from apet.evaluation.tasks import default_tasks, draw_cases

VARIANTS = {
    "spread": "as it is: place 0.1, reach 0.125, 8 rounds, merging, behind the projector",
    "spread:place=0.0": "features alone",
    "spread:place=0.2": "places twice as heavy",
    "spread:reach=0.0625": "places differ sooner",
    "spread:reach=0.25": "places differ later",
    "spread:rounds=1": "one ranking",
    "spread:rounds=2": "",
    "spread:rounds=4": "",
    "spread:rounds=none": "one token at a time",
    "spread:merge=no": "dropped tokens are lost",
    "spread:at=auto": "before the projector, on raw features",
}
KEEPS = (192, 128, 64, 32)
LIMITS, SPLIT = {"dinov2": 40, "embedded": 60}, "test"
"""Questions per task of each model, and where they are from."""
PAGE = Path(__file__).parent / "ablations.md"
HEAD = f"""# What each choice of spread is worth

One field of `spread` changed at a time, one stage, percent right of questions of the split `{SPLIT}`; the
settings were chosen on other pictures (`validation`). In brackets: by how many points the change is above
`spread` as it is, question by question, as a 95% bootstrap interval that draws pictures with all their
questions; bold where it excludes zero. `make ablations` repeats it.
"""


def main() -> None:
    """Asks what is missing, in a folder for each model, and writes the page."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ablations-spread")
    parts = [table(name, folder / (name or "embedded")) for name in ("dinov2", None)]
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    _, mark, words = text.partition("## What it shows")
    PAGE.write_text("\n".join([HEAD, *parts]) + (f"\n{mark}{words}" if mark else ""), encoding="utf-8")


def table(name: str | None, folder: Path) -> str:
    """A section about one model."""
    subject = load_subject(name)
    limit = LIMITS[subject.name]
    cases = draw_cases(default_tasks(embedded=True, name=subject.name), limit, SPLIT)
    configurations, _ = plan(list(VARIANTS), KEEPS, ["off"], 1, subject.layers)
    with Store(folder / "answers.jsonl") as store:
        told = run(subject, configurations, cases, store, progress=_tell, times=False)
    groups = np.asarray([case.group for case in cases])
    right = {
        (one.method, one.keep): np.asarray(
            [
                case.score(answers)
                for case, answers in zip(
                    cases, told.answers(configuration_key(subject, one), cases), strict=True
                )
            ]
        )
        for one in configurations
    }
    whole = 100 * right[FULL, None].mean()
    lines = [f"## {subject.name}", ""]
    lines += [f"{len(cases):,} questions ({limit} a task); {whole:.1f} are right with all 576 tokens.", ""]
    lines += ["| | " + " | ".join(map(str, KEEPS)) + " |", "| --- |" + " --- |" * len(KEEPS)]
    for variant, words in VARIANTS.items():
        cells = [_cell(right[variant, keep], right["spread", keep], groups) for keep in KEEPS]
        lines.append(f"| `{variant}`{': ' if words else ''}{words} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _cell(own: np.ndarray, base: np.ndarray, groups: np.ndarray) -> str:
    if own is base:
        return f"{100 * own.mean():.1f}"
    low, high = (100 * end for end in bootstrap(own - base, groups))
    cell = f"{100 * own.mean():.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{cell}**" if low > 0 or high < 0 else cell


def _tell(done: int, total: int, what: str) -> None:
    print(f"\r{done:,} of {total:,} {what:40}", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
