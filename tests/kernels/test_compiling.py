"""Every kernel compiles for a GPU, to machine code, without one: the interpreter accepts more than that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from apet.kernels import assign, farthest, launch, mean, residual, span

POINTERS = {
    "i64": "offsets keeps counts best basis indices assignment",
    "i32": "peaks largest met scores begins",
    "fp32": "norms nearest span errors",
    "fp64": "grams wide_ridge",
}
TYPES = {name: "*" + kind for kind, names in POINTERS.items() for name in names.split()}
TYPES |= dict.fromkeys(("width", "keys", "number", "step", "most", "slices", "longest"), "i32")
TYPES |= {"x": "*bf16", "out": "*bf16", "order": "*i64"}
SIZES = {"ROWS": 32, "COLUMNS": 64, "SLOTS": 32, "BASIS": 16, "SLICES": 8}
SIZES |= {"WIDEN": False, "FIRST": True, "WHOLE": True}
TILES = launch.Tiles()
CASES = [
    (farthest._together, {}, {}, {"maxnreg": 128, "launch_cooperative_grid": True}),
    (farthest._together, {"ROWS": TILES.stream[0], "COLUMNS": TILES.stream[1]}, {}, {"maxnreg": 128}),
    (farthest._apart, {"FIRST": False}, {}, {}),
    (span._gram, {}, {}, {}),
    (span._project, {}, {}, {}),
    (residual._residual, {"ROWS": 4, "COLUMNS": 4096}, {}, {}),
    (residual._residual, {"BASIS": 64, "WHOLE": False}, {"x": "*fp32"}, {}),
    (assign._assign, {}, {}, {}),
    (assign._assign, {"ROWS": 32, "SLOTS": 128, "COLUMNS": 32}, {"x": "*fp32"}, {"num_stages": 2}),
    (assign._assign, {"ROWS": 64, "SLOTS": 128}, {}, {"num_stages": 3}),
    (mean._mean, {}, {}, {}),
]
for kernel, constants, types, options in CASES:
    names = kernel.arg_names
    constants = {**{n: SIZES[n] for n in names if n in SIZES}, **constants}
    types = {n: "constexpr" if n in constants else {**TYPES, **types}[n] for n in names}
    source = ASTSource(kernel, types, {(names.index(n),): v for n, v in constants.items()}, {})
    for capability in map(int, sys.argv[1:]):
        target = GPUTarget("cuda", capability, 32)
        compiled = triton.compile(source, target=target, options=launch.options(4) | options)
        # 99 KB is what a block can have on the smallest of these GPUs.
        good = len(compiled.asm["cubin"]) > 0 and compiled.metadata.shared <= 99 << 10
        print(kernel.__name__, capability, compiled.metadata.shared, good)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton's assembler is for Linux")
def test_kernels_compile_for_a_hopper_gpu(tmp_path):
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "90"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout.count("True"), done.stdout.count("False")) == (11, 0), done.stdout
