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
from apet.kernels import assign, farthest, launch, mean, norms, ranks, residual, span

POINTERS = {
    "i64": "offsets kept_offsets best basis places indices assignment order begins",
    "i32": "counts peaks largest scores flags slots sizes",
    "fp32": "norms nearest span errors",
    "fp64": "grams wide_ridge",
}
TYPES = {name: "*" + kind for kind, names in POINTERS.items() for name in names.split()}
TYPES |= dict.fromkeys(("width", "keys", "step", "most", "slices"), "i32") | {"x": "*bf16"}
SIZES = {"ROWS": 32, "COLUMNS": 64, "SLOTS": 32, "BASIS": 16, "WIDEN": False}
CASES = [
    (norms._measure, {"FIRST": True, "AGAIN": True}, {}),
    (farthest._farthest, {"FIRST": False}, {}),
    (span._gram, {}, {}),
    (span._project, {}, {}),
    (residual._residual, {}, {}),
    (ranks._rank, {"ORDER": False}, {"keys": "*i32", "out": "*i32"}),
    (ranks._rank, {"ORDER": True}, {"keys": "*i32", "out": "*i64"}),
    (ranks._place, {}, {}),
    (ranks._count, {}, {"keys": "*i32"}),
    (assign._assign, {}, {}),
    (assign._assign, {"ROWS": 64, "SLOTS": 64}, {"x": "*fp32", "num_stages": 2}),
    (assign._assign, {"ROWS": 64, "SLOTS": 64}, {"num_stages": 3}),
    (residual._residual, {"BASIS": 64}, {"x": "*fp32"}),
    (mean._mean, {}, {"out": "*bf16"}),
]
for kernel, constants, types in CASES:
    names = kernel.arg_names
    options = launch.OPTIONS | {n: types.pop(n) for n in ["num_stages"] if n in types}
    constants = {**{n: SIZES[n] for n in names if n in SIZES}, **constants}
    types = {n: "constexpr" if n in constants else {**TYPES, **types}[n] for n in names}
    source = ASTSource(kernel, types, {(names.index(n),): v for n, v in constants.items()}, {})
    for capability in map(int, sys.argv[1:]):
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
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
    assert (done.stdout.count("True"), done.stdout.count("False")) == (14, 0), done.stdout
