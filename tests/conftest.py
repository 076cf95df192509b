"""What runs where: browser tests by ``make test-web``, which installs what they need; GPU tests on a GPU.

Without a GPU, Triton kernels run in its interpreter; that has to be said before Triton is imported.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

collect_ignore = [] if find_spec("playwright") and find_spec("gradio") else ["web"]

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(config, items):
    if torch.cuda.is_available():
        return
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu:
        config.hook.pytest_deselected(items=gpu)
        items[:] = [item for item in items if item not in gpu]
