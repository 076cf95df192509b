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


def run(program, folder, *arguments):
    """What a program prints, for which Triton compiles."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton's assembler is for Linux")
def test_kernels_compile_for_a_hopper_gpu(tmp_path):
    said = run(PROGRAM, tmp_path, "90")
    assert (said.count("True"), said.count("False")) == (11, 0), said


PRETENDED = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

compiled = []


class Pretended:
    class utils:
        @staticmethod
        def load_binary(name, *_):
            compiled.append(name)
            return 1, 2, 64, 0, 1024

        @staticmethod
        def get_device_properties(_):
            return {"max_shared_mem": 232448, "multiprocessor_count": 132}

    launcher_cls = staticmethod(lambda src, metadata: lambda *_: None)
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device=0: 0)


driver.set_active(Pretended())
from apet.kernels import farthest
from apet.kernels.calls import select_dense, select_ragged

farthest.processors = lambda index: 132


def select(images, total=64, kept=9, count=5):
    tokens = torch.zeros(images, total, 256, dtype=torch.bfloat16)
    select_dense(tokens, kept, count, None, 1e-5, False)


def ragged(lengths, keeps):
    parts = [torch.zeros(length, 256, dtype=torch.bfloat16) for length in lengths]
    select_ragged(parts, keeps, [5] * len(lengths), None, 1e-5, False, True)


select(1)
ragged([50, 77, 33], [9, 8, 7])
print(*compiled)
compiled.clear()
for images in (2, 3, 4, 16):
    select(images)
select(1, total=77)
select(1, kept=16)
select(1, kept=16, count=7)
ragged([50, 77], [9, 8])
ragged([64] * 4, [16] * 4)
print(*compiled)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton's assembler is for Linux")
def test_another_batch_compiles_nothing_anew(tmp_path):
    """A driver that only counts takes the GPU's place, so this is what Triton would do on one."""
    first, again = run(PRETENDED, tmp_path).splitlines()
    assert sorted(first.split()) == ["_assign", "_gram", "_mean", "_project", "_residual", "_together"]
    assert again == ""
