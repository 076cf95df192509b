"""The part of docs/performance.md about a GPU, from what benchmarks/on_gpu.sh brings back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["NONE", "on_a_gpu"]

Line = Callable[..., str]
NONE = """
## On a GPU

None is recorded yet. `OUT=/tmp/out bash benchmarks/on_gpu.sh` takes them in eight minutes on one GPU with
80 GB of memory.
"""
STEPS = {
    "norms, farthest points": ("_together",),
    "span": ("_gram", "_project"),
    "errors": ("_residual",),
    "ranks, groups": ("sort", "Sort", "searchsorted"),
    "assign": ("_assign",),
    "means": ("_mean",),
}


def on_a_gpu(
    found: dict[str, Any], line: Line, model: Callable[[dict[str, Any]], Iterator[str]]
) -> Iterator[str]:
    """The section.

    Args:
        found: Parts by name.
        line: Makes a line of a table.
        model: Makes the part about a model from pictures to answers.
    """
    about = next(iter(found.values()))
    versions = ", ".join(
        f"{name} {about[name]}" for name in ("torch", "triton", "transformers") if name in about
    )
    date = f", {about['date']}" if "date" in about else ""
    gpu = about["gpu"] or "machine without a GPU"
    yield f"\n## On a GPU\n\nOne {gpu}, {versions}{date}, by `benchmarks/on_gpu.sh`.\n"
    if "operation" in found:
        yield "\n### The operation\n"
        yield from _operation(found["operation"]["items"], line)
    if "agreement" in found:
        yield "\n### Kernels beside the core\n"
        yield from _agreement(found["agreement"]["items"], line)
    yield "\n### Models\n\nRandom weights in true shapes, PyTorch's attention, `generate` of transformers "
    yield "without compiling. Where the oracle's first token comes no sooner than the uncompressed one, the "
    yield "host that launches the kernels is the limit and not the GPU: there fewer visual tokens save "
    yield "memory, not time.\n"
    for name, part in found.items():
        for run, report in part["items"].items():
            if "rows" in report:
                yield f"\n#### {name}, batch {report['batch']}\n"
                yield from model(report)
            elif "batch" in run:
                yield f"\n{run}: not taken ({report.get('left_out') or report.get('error')}).\n"
    if "waits" in found:
        yield from _waits(found["waits"]["items"])


def _operation(items: dict[str, Any], line: Line) -> Iterator[str]:
    ceilings = items.get("ceilings", {})
    yield "\nMicroseconds of one `apet.compress`, in a CUDA graph (the device) and called from Python (with "
    yield "the host). "
    yield "The core is the readable implementation, with torch's own kernels, on the same device. "
    if ceilings:
        yield f"Measured ceilings: {ceilings['copy_gb_per_s']:.0f} GB/s copied, "
        yield f"{ceilings['bf16_tflops']:.0f} TFLOP/s in bfloat16. "
    yield "The floor is ten reads of the tokens and the products of the dropped with the kept ones at these "
    yield "rates, which float32 cannot reach.\n\n"
    rows = {name: row for name, row in items.items() if "kernels" in row}
    titles = (
        "kernels, graph",
        "core, graph",
        "core / kernels",
        "an image",
        "floor",
        "kernels, Python",
        "core, Python",
    )
    yield line("images x tokens x width, kept", *titles)
    yield line(*["---"] * (len(titles) + 1))
    for name, row in rows.items():
        ours, core = row.get("kernels_in_a_graph"), row.get("core_in_a_graph")
        batch = int(_size(name)[0])
        cells = ["", "", "", ""]
        if ours and core:
            ratio = core["median"] / ours["median"]
            cells = [_us(ours), _us(core), f"{ratio:.1f}", f"{1e3 * ours['median'] / batch:.0f}"]
        yield line(_told(name), *cells, f"{1e3 * row['floor']:.0f}", _us(row["kernels"]), _us(row["core"]))
    if not all("microseconds" in row for row in rows.values()):
        return
    yield "\nWhere the time goes, in microseconds by the profiler:\n\n"
    yield line("images x tokens x width, kept", *STEPS, "launches")
    yield line(*["---"] * (len(STEPS) + 2))
    for name, row in rows.items():
        taken = row["microseconds"]
        sums = [
            sum(us for kernel, (us, _) in taken.items() if any(part in kernel for part in parts))
            for parts in STEPS.values()
        ]
        yield line(_told(name), *(f"{us:.0f}" for us in sums), f"{sum(count for _, count in taken.values())}")


def _agreement(items: dict[str, Any], line: Line) -> Iterator[str]:
    yield "\nKept tokens and bases that differ from the core's, and by how much a dropped token's similarity "
    yield "to where it was merged is below the highest, in float64.\n\n"
    yield line(
        "images x tokens x width, kept",
        "other bases",
        "other kept",
        "similarity lost",
        "same bits in 5 runs",
        "alone",
    )
    yield line(*["---"] * 6)
    for name, row in items.items():
        if "other_kept" in row:
            alone = {None: "", True: "yes", False: "no"}[row.get("same_bits_alone")]
            same = "yes" if row["same_bits_in_5_runs"] else "no"
            yield line(
                _told(name),
                str(row["other_basis"]),
                str(row["other_kept"]),
                f"{row['cosine_gap']:.1g}",
                same,
                alone,
            )


def _waits(items: dict[str, Any]) -> Iterator[str]:
    yield "\n### Waits\n\nLines at which the host waits for the device in a prefill of one picture, as torch "
    yield "reports them:\n\n"
    for name, found in items.items():
        lines = found.get("prefill", {})
        ours = {
            place: count
            for place, count in lines.items()
            if "transformers" not in place and "models/" not in place
        }
        rest = sum(lines.values()) - sum(ours.values())
        told = ", ".join(f"`{place}` {count}" for place, count in ours.items()) or "none"
        yield f"- {name}: apet's {told}; transformers' {rest}\n"


def _size(name: str) -> list[str]:
    return name[name.index("(") + 1 : name.index(")")].split(", ")


def _told(name: str) -> str:
    batch, n, width, kept = _size(name)
    return f"{batch} x {n} x {width}, {kept}, {name.rsplit(' ', 1)[1]}"


def _us(times: dict[str, float]) -> str:
    return f"{1e3 * times['median']:.0f} ({1e3 * times['min']:.0f} to {1e3 * times['max']:.0f})"
