"""Install a compression on a model, and take it off again without a trace."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper

from apet.core.errors import ApETError
from apet.hf.arguments import check_names
from apet.hf.cache.record import Lease
from apet.hf.choice.downsampled import check_shrinks
from apet.hf.families import Family
from apet.hf.hooks.attention import check_attention, hook_attention
from apet.hf.hooks.base import BaseHooks
from apet.hf.hooks.chunks import wrap_prefill
from apet.hf.hooks.context_stage1 import check_told
from apet.hf.hooks.generate import guard_generate, wrap_prepare
from apet.hf.hooks.hooks import refuse_copies, replace
from apet.hf.hooks.layers import LayerHooks
from apet.hf.hooks.projector import ProjectorHooks
from apet.hf.hooks.refusals import RECURRENT
from apet.hf.hooks.text import TextHooks, scales_by_position
from apet.hf.hooks.vision import VisionHooks
from apet.hf.inner import base_of, uncompiled
from apet.hf.sessions import Session
from apet.methods import Method


def depth_of(model: nn.Module, family: Family) -> int:
    """Decoder layers of a model's text model; 0 where it has none, which `check_fits` refuses."""
    return len(getattr(family.text_of(base_of(model)), "layers", None) or ())


def check_fits(model: nn.Module, family: Family, method: Method, operation: str) -> None:
    """Check what can be checked before a model is touched."""
    base = base_of(model)
    text = family.text_of(base)
    layers, rotary = getattr(text, "layers", None), getattr(text, "rotary_emb", None)
    if layers is None or rotary is None:
        raise ApETError(
            operation,
            f"a text model of type {type(text).__name__}",
            "a decoder with rotary positions (attributes layers and rotary_emb)",
        )
    if text.config.model_type == "mistral4" and "flash" in str(text.config._attn_implementation):
        raise ApETError(
            operation,
            "Mistral 4 with FlashAttention, which takes kept positions with gaps for packed sequences",
            "the attention implementation 'sdpa' or 'eager'",
        )
    if method.at == "projector_input" and family.projector is None:
        raise ApETError(
            operation,
            f"at='projector_input' for {family.title}",
            "at='auto' or 'projector_output': its projector does not map tokens one to one",
        )
    if method.unit == "whole" and family.no_whole is not None:
        raise ApETError(
            operation, f"unit='whole' for {family.title}: {family.no_whole}", "unit='part': a budget per tile"
        )
    check_names(base, f"a {type(base).__name__}", operation, "attention_mask", "inputs_embeds")
    check_names(text, f"a {type(text).__name__}", operation, "attention_mask", "inputs_embeds")
    check_shrinks(base, family, method, operation)
    check_attention(base, family, method, operation)
    check_told(base, family, method, operation)
    if not method.later:
        return
    if family.one_stage is not None:
        raise ApETError(
            operation, f"stage2 on {family.title}: {family.one_stage}", "a method without stage 2"
        )
    if getattr(text.config, "num_kv_shared_layers", 0):
        raise ApETError(
            operation,
            f"stage2 on {family.title} with layers that share keys and values",
            "a method without stage 2: those layers see what an earlier one stored",
        )
    if any(isinstance(layer, CheckpointWrapper) for layer in layers):
        raise ApETError(
            operation,
            "stage2 with torch's checkpoint_wrapper around decoder layers",
            "model.gradient_checkpointing_enable(), or a method without stage 2",
        )
    for layer in layers[1:2]:
        check_names(layer, f"a decoder layer of {family.title}", operation, "hidden_states", "attention_mask")
    deep = _deepstack_layers(base.config)
    kinds = getattr(text.config, "layer_types", None) or ()
    attention = next((number for number, kind in enumerate(kinds) if kind not in RECURRENT), 0)
    first = max(attention + 1, deep)  # the cache counts the columns of its first attention layer
    layer = next((stage.layer for stage in method.later if not first <= stage.layer < len(layers)), None)
    if layer is not None:
        raise ApETError(
            operation,
            f"stage2 at layer {layer} of a model with {len(layers)} decoder layers",
            f"a layer between {first} and {len(layers) - 1}"
            + (", behind the deepstack layers" if deep else ""),
        )


class Installed:
    """A compression on one model: its hooks, its replaced attributes and how to undo them.

    Args:
        model: The model, checked by ``check_fits``.
        family: Its family.
        method: The method.
    """

    def __init__(self, model: nn.Module, family: Family, method: Method) -> None:
        self.method = method
        self.session = Session(method, family.model_type)
        self.lease = Lease(method, family.model_type)
        self._undo: list[Callable[[], object]] = []
        self._head = weakref.ref(model)
        base = base_of(model)
        text = family.text_of(base)
        try:
            self._install(model, base, text, family)
        except BaseException:
            self.remove()
            raise

    @property
    def head(self) -> nn.Module | None:
        """The model that `apply` was given; None if it is gone."""
        return self._head()

    def remove(self) -> None:
        """Undo everything, in reverse order, and end the lease of caches that were filled."""
        self.lease.active = False
        self.session.end()
        while self._undo:
            self._undo.pop()()

    def _install(self, model: Any, base: Any, text: Any, family: Family) -> None:
        method, lease, hooks = self.method, self.lease, self._undo
        vision = VisionHooks(method, lease, family, base)
        whole = BaseHooks(method, lease, family, base, vision)
        prompt = TextHooks(method, lease, self.session, text)

        def put(
            owner: nn.Module, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
        ) -> None:
            hooks.append(replace(owner, name, make, lease))

        if vision.early:
            projector = uncompiled(getattr(base, family.projector or ""))
            early = ProjectorHooks(method, lease, family, base)
            hooks.append(projector.register_forward_pre_hook(early.before).remove)
            hooks.append(projector.register_forward_hook(early.after).remove)
            hooks.append(refuse_copies(projector))
        put(base, "forward", whole.wrap)
        put(text, "forward", prompt.wrap)
        arrive = text.register_forward_pre_hook(prompt.arrive, with_kwargs=True, prepend=True)
        hooks.append(arrive.remove)
        for name, child in text.named_children():
            if name.startswith("rotary_emb"):  # there may be one per kind of layer
                hooks.append(child.register_forward_pre_hook(prompt.rotary, with_kwargs=True).remove)
                hooks.append(refuse_copies(child))
        hooks += [handle.remove for handle in hook_attention(base, family, method, prompt)]
        if scales_by_position(text.config):
            for layer in text.layers:
                hooks.append(layer.register_forward_pre_hook(prompt.layer, with_kwargs=True).remove)
        if method.later:
            layers = LayerHooks(method, prompt, text.config, getattr(text, "norm", None))
            for number, layer in list(enumerate(text.layers))[method.later[0].layer :]:
                put(uncompiled(layer), "forward", functools.partial(layers.wrap, number))
        for name in dict.fromkeys(modality.method for modality in family.modalities):
            put(base, name, functools.partial(vision.wrap, name=name))
        if hasattr(model, "generate"):
            put(model, "generate", lambda call: guard_generate(call, model, family, self.session, vision))
            put(model, "prepare_inputs_for_generation", lambda call: wrap_prepare(call, family))
            put(model, "_prefill", lambda call: wrap_prefill(call, model.config, family, lease))


def _deepstack_layers(config: Any) -> int:
    """How many of the first decoder layers get features of their own, up to the last that does."""
    each = getattr(getattr(config, "vision_config", None), "deepstack_visual_indexes", None) or ()
    named: list[int] = [layer for _, layer in getattr(config, "deepstack_layer_map", None) or ()]
    named += getattr(config, "spatial_target_layers", None) or ()
    return max([len(each), *(layer + 1 for layer in named)])
