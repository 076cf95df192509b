"""Held-out accuracy of a trained model, with all visual tokens and with few.

``python -m training.evaluate --model runs/embedded --output runs/embedded/accuracy.json`` asks what ``apet
eval`` asks the embedded model, of a checkpoint in a folder that is asked in the same words. Finished answers
are kept beside the output, so a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from apet import embedded
from apet.evaluation import Subject, Wanted, default_tasks, evaluate
from apet.evaluation.markdown import to_markdown

BUDGETS = (192, 128, 64)


def main() -> None:
    """Evaluates every configuration, prints the report and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=170, help="questions per task")
    parser.add_argument("--seeds", type=int, default=3, help="of random selection")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--methods", default="apet,random", help="none but the full model if empty")
    parser.add_argument("--output", type=Path, default=Path("runs/accuracy.json"))
    parser.add_argument("--model", type=Path, default=embedded.PATH, help="folder of a checkpoint")
    options = parser.parse_args()
    model, processor = embedded.load(options.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[arg-type]
    subject = Subject(str(options.model), model, processor, embedded=True)
    wanted = Wanted(
        methods=[name for name in options.methods.split(",") if name],
        keeps=BUDGETS,
        stages=["off", "paper"],
        tasks=default_tasks(embedded=True),
        seeds=options.seeds,
        limit=options.limit,
        split=options.split,
    )
    result = evaluate(subject, wanted, options.output.parent / "evaluation")
    print(to_markdown(result))
    options.output.write_text(json.dumps(result.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
