"""One part: ``python -m benchmarks.on_gpu PART --out FOLDER [--seconds S] [--tiny]``; see on_gpu.sh."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

PARTS = ("warm", "operation", "agreement", "llava-1.5-7b", "qwen2.5-vl-7b", "waits")


def main(arguments: list[str] | None = None) -> int:
    """Runs a part, or puts all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "collect"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--tiny", action="store_true", help="small shapes, in Triton's interpreter without a GPU"
    )
    options = parser.parse_args(arguments)
    if options.part == "collect":
        parts = {name: options.out / f"{name}.json" for name in PARTS}
        found = {name: json.loads(path.read_text()) for name, path in parts.items() if path.exists()}
        (options.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Before torch and Triton are imported: who runs, and where.
    kernels = options.part in PARTS[:3]
    os.environ["APET_KERNELS"] = "on" if kernels else "auto"
    import torch

    if kernels and not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
    from benchmarks.on_gpu import models, operation
    from benchmarks.on_gpu.items import Part

    part = Part(options.out / f"{options.part}.json", options.seconds)
    sizes = operation.TINY if options.tiny else operation.SIZES
    if options.part in models.PLAN:
        models.end_to_end(part, options.part, options.tiny)
    elif options.part == "waits":
        models.waits(part, options.tiny)
    else:
        runs = {"warm": operation.warm, "operation": operation.times, "agreement": operation.agreement}
        runs[options.part](part, sizes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
