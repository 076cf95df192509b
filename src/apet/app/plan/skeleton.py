"""A model of any size without its weights, and a run of it without its matrix products.

Weights and what is computed from them are zeros that take no memory; sizes, positions and masks are real.
So a model's own code runs in seconds and says how many operations it would have done, whatever its layers
are: no rule of any of them is stated here.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from apet.app.command import typed
from apet.core.errors import ApETError

_ATEN = torch.ops.aten
_PRODUCTS = {
    **flop_registry,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        _ATEN._scaled_dot_product_flash_attention
    ],
}


def skeleton(config: Any) -> Any:
    """The model of a configuration; its weights, in float32, are zeros without memory."""
    from transformers import AutoModelForImageTextToText

    config = copy.deepcopy(config)
    config._experts_implementation = "eager"  # plain products, expert by expert
    make = functools.partial(AutoModelForImageTextToText.from_config, config, dtype=torch.float32)
    with refused(config, "to be built"), torch.device("meta"):
        try:
            model: Any = make(attn_implementation="sdpa")
        except ValueError:  # some types have no other
            model = make(attn_implementation="eager")
    return hollow(model)


def hollow(model: Any) -> Any:
    """Puts zeros without memory in place of a model's weights and buffers."""
    made: dict[int, tuple[Tensor, Tensor]] = {}  # the original too, so that its id stays its own
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    empty = _zeros(tensor)
                    if tensors is module._parameters:
                        empty = nn.Parameter(empty, requires_grad=False)
                    made[id(tensor)] = empty, tensor
                tensors[name] = made[id(tensor)][0]
    return model.eval()


class Products(TorchDispatchMode):
    """Counts the operations of matrix products, convolutions and attention, and does none of them.

    What they return has no memory, nor has any other real number made of it: see `_is_hollow`.

    Attributes:
        flops: The operations so far: ``2abc`` for a product of ``a x b`` by ``b x c``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._made: dict[Any, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one operation."""
        kwargs = kwargs or {}
        count = _PRODUCTS.get(func._overloadpacket)
        if count is not None:
            out = self._without_memory(func, args, kwargs)
            self.flops += count(*args, **kwargs, out_val=out)
            return out
        with self:
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func._schema.is_mutable and _is_hollow(tensors[0]):
            return args[0]
        new = not (func.is_view or func._schema.is_mutable) or func._overloadpacket is _ATEN.view_as_complex
        shapes_tell = torch.Tag.pointwise in func.tags or all(map(_is_real, tensors))
        if new and shapes_tell and any(map(_is_hollow, tensors)):
            out = self._without_memory(func, args, kwargs)
            if all(_is_real(leaf) for leaf in tree_leaves(out) if isinstance(leaf, Tensor)):
                return out
        return func(*args, **kwargs)

    def _without_memory(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What an operation returns in shape, and zeros in value.

        Layers repeat their calls, so each kind of call is worked out once.
        """
        leaves, spec = tree_flatten((args, kwargs))
        key = (func, str(spec), *map(_kind, leaves))
        if key not in self._made:
            args, kwargs = tree_map_only(
                Tensor, lambda t: torch.empty(t.shape, dtype=t.dtype, device="meta"), (args, kwargs)
            )
            if "device" in kwargs:
                kwargs["device"] = "meta"
            self._made[key] = func(*args, **kwargs)
        return tree_map_only(Tensor, _zeros, self._made[key])


def _kind(leaf: Any) -> tuple[Any, Any]:
    """What an operation's result can depend on in shape."""
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else (type(leaf), repr(leaf))


def weights_of(*modules: nn.Module) -> int:
    """Weights of modules, each once."""
    return sum({id(x): x.numel() for module in modules for x in module.parameters()}.values())


@contextmanager
def watching(
    modules: list[nn.Module], counted: Products, spent: dict[int, int], inputs: list[Tensor]
) -> Iterator[None]:
    """Adds up the operations of every module, by its id, and keeps the modules' first inputs."""
    began: dict[int, int] = {}

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        began[id(module)] = counted.flops
        inputs.extend([*args, *kwargs.values()][:1])

    def after(module: nn.Module, _: Any, __: Any) -> None:
        spent[id(module)] = spent.get(id(module), 0) + counted.flops - began[id(module)]

    hooks = [module.register_forward_pre_hook(before, with_kwargs=True) for module in modules]
    hooks += [module.register_forward_hook(after) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def refused(config: Any, what: str) -> Iterator[None]:
    """Whatever a model's own code raises, of a configuration that does not fit together, as one line."""
    try:
        yield
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise ApETError(
            typed("model", "plan"),
            f"model type {config.model_type!r} whose own code refuses {what} ({words})",
            "a configuration that makes a whole model",
        ) from error


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _is_hollow(tensor: Tensor) -> bool:
    """Whether it is zeros without memory, in place of what depends on weights."""
    strides = (step for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1)
    return _is_real(tensor) and tensor.numel() > 1 and not any(strides)
