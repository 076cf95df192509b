"""Attention weights for the methods that decide by them: what is needed of a model, and the hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.cache.index_map import take
from apet.hf.families import Family
from apet.hf.hooks.heads_joined import drops_cls, note_joined
from apet.hf.hooks.text import TextHooks
from apet.hf.prompt_state import Prompt
from apet.hf.state import Encoding, encoding_in_progress
from apet.methods import Attended, Attention, Method

_Read = Callable[[Prompt, Tensor, int], Tensor | None]
"""Reads a decoder layer's weights of a prompt, behind so many columns of earlier turns."""


def check_attention(base: nn.Module, family: Family, method: Method, operation: str) -> None:
    """Check that a model gives out the attention weights that a method needs."""
    if not isinstance(method, Attended):
        return
    name = type(method).__name__
    if method.reads == "text":
        modules, where = _decoder_attention(base, family, method), "decoder"
    else:
        modules, where = _encoder_attention(base, family, method), "encoder"
        if not modules:
            raise ApETError(
                operation,
                f"{name} for {family.title}",
                "LLaVA-1.5 with a CLIP or SigLIP encoder and features of one layer",
            )
    for module in modules:
        if module is None:
            raise ApETError(
                operation,
                f"{name} behind a {where} layer without attention",
                f"a {where} layer with attention",
            )
        implementation = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if implementation != "eager":
            raise ApETError(
                operation,
                f"{name}, which needs attention weights, on {where} attention {implementation!r}",
                "a model loaded with attn_implementation='eager'",
            )


def hook_attention(base: nn.Module, family: Family, method: Method, text: TextHooks) -> list[Any]:
    """Hook the layers that a method reads the attention of; returns the handles."""
    if not isinstance(method, Attended):
        return []
    if method.reads == "text":
        read = _of_raters if method.asking == "raters" else _of_last_token
        modules = _decoder_attention(base, family, method)
        layers = [stage.layer - 1 for stage in method.later]
        return [
            module.register_forward_hook(_note_text(text, layer, read))
            for module, layer in zip(modules, layers, strict=True)
        ]
    module, *more = _encoder_attention(base, family, method)
    if method.asking == "joined":
        return note_joined(base.config, module)
    hooks = [
        module.register_forward_hook(_note_received(base.config, method.asking == "all")),
        module.k_proj.register_forward_hook(_note_keys(base.config, module.head_dim)),
    ]
    return hooks + [further.register_forward_hook(_note_middle(base.config)) for further in more]


def attention_of(encoding: Encoding) -> Attention | None:
    """What the hooks noted of an encoder's call, row by row; None if the method reads none of it."""
    if encoding.received is None:
        return None
    keys, middle = encoding.keys, encoding.middle
    return Attention(
        encoding.received.flatten(),
        None if keys is None else keys.flatten(0, -2),
        None if middle is None else middle.flatten(),
    )


def from_last_token(prompt: Prompt, device: torch.device) -> Attention:
    """The attention that every slot receives from the last token of its row, slot by slot over all rows."""
    if prompt.attention is None:
        raise ApETError(
            "forward",
            "a decoder layer that gave out no attention weights",
            "attn_implementation='eager', unchanged since apply",
        )
    return Attention(prompt.attention.flatten().to(device))


def _decoder_attention(base: nn.Module, family: Family, method: Method) -> list[Any]:
    layers = family.text_of(base).layers
    numbers = [stage.layer - 1 for stage in method.later]
    return [getattr(layers[number], "self_attn", None) for number in numbers if number < len(layers)]


def _encoder_attention(base: Any, family: Family, method: Attended) -> list[Any]:
    """Attention of the encoder layers that a method reads; nothing where they are not known.

    The first is that whose output are the features, or the one behind it.
    """
    layer = getattr(base.config, "vision_feature_layer", None)
    if family.encoder is None or not isinstance(layer, int) or layer == 0:
        return []
    encoder: Any = reduce(lambda owner, name: getattr(owner, name, None), family.encoder.split("."), base)
    if not isinstance(encoder, nn.Module):
        return []
    layers = next((part for part in encoder.children() if isinstance(part, nn.ModuleList)), ())
    # Hidden states begin with the embeddings: number f comes out of layer f - 1.
    number = layer if layer < 0 else layer - 1
    if not -len(layers) <= number < len(layers):
        return []
    number %= len(layers)
    numbers = [min(number + 1, len(layers) - 1) if method.asking == "joined" else number]
    if method.asking == "all":
        numbers.append(method.middle(len(layers)))
    return [part for layer_number in numbers for part in layers[layer_number].children() if _has_keys(part)]


def _has_keys(module: nn.Module) -> bool:
    """Whether this is an attention, ``self_attn`` in CLIP and ``attention`` in DINOv2."""
    return isinstance(getattr(module, "k_proj", None), nn.Linear)


def _note_text(text: TextHooks, layer: int, read: _Read) -> Callable[..., None]:
    """In prefill, keep what is read of a decoder layer's weights; None where it gave out none."""

    def after(module: nn.Module, args: tuple[Any, ...], output: Sequence[Any]) -> None:
        call = text.current()
        if call is None or call.prompt is None:
            return
        prompt, weights = call.prompt, output[1]
        held = prompt.seen - prompt.before.dropped(layer)  # columns of earlier turns
        prompt.attention = None if weights is None else read(prompt, weights, held)

    return after


def _of_last_token(prompt: Prompt, weights: Tensor, held: int) -> Tensor:
    """The mean over heads of the last token's attention to this turn: ``(B, n)``."""
    valid = prompt.valid.to(weights.device)
    last = valid.shape[1] - 1 - valid.flip(1).long().argmax(dim=1)
    rows = torch.arange(len(valid), device=weights.device)
    own_weights = weights[rows, :, last, held : held + valid.shape[1]]
    return own_weights.detach().float().mean(dim=1)


def _of_raters(prompt: Prompt, weights: Tensor, held: int) -> Tensor | None:
    """The mean over heads and raters of their attention to this turn: ``(B, n)``; None without raters."""
    if prompt.raters is None:
        return None
    raters = prompt.raters.to(weights.device)
    if prompt.later:  # text tokens stay, so a rater has a slot behind every stage
        index = prompt.later[-1].index.to(weights.device)
        raters = take(raters, index, 1) & (index >= 0)
    received = weights[..., held : held + raters.shape[1]].detach().float().mean(dim=1)
    count = raters.sum(dim=1, keepdim=True).clamp(min=1)
    return (received * raters.unsqueeze(2)).sum(dim=1) / count


def _note_received(config: Any, everyone: bool) -> Callable[..., None]:
    """While images are encoded, keep what each of their tokens receives: ``(B, N)``."""

    def after(module: nn.Module, args: tuple[Any, ...], output: Sequence[Any]) -> None:
        encoding = encoding_in_progress.get()
        if encoding is None:
            return
        mean = _weights_of(output)
        first = drops_cls(config)
        if first and not everyone:
            encoding.received = mean[:, 0, 1:]
        else:
            encoding.received = mean.mean(dim=1)[:, 1:] if first else mean.mean(dim=1)

    return after


def _note_middle(config: Any) -> Callable[..., None]:
    """While images are encoded, keep what each of their tokens receives in a layer further down."""

    def after(module: nn.Module, args: tuple[Any, ...], output: Sequence[Any]) -> None:
        encoding = encoding_in_progress.get()
        if encoding is not None:
            mean = _weights_of(output).mean(dim=1)
            encoding.middle = mean[:, 1:] if drops_cls(config) else mean

    return after


def _weights_of(output: Sequence[Any]) -> Tensor:
    """The weights of an encoder layer, averaged over the heads, ``(B, n, n)``."""
    weights = output[1]
    if weights is None:
        raise ApETError(
            "forward",
            "an encoder layer that gave out no attention weights",
            "attn_implementation='eager', unchanged since apply",
        )
    mean: Tensor = weights.detach().float().mean(dim=1)
    return mean


def _note_keys(config: Any, width: int) -> Callable[..., None]:
    """While images are encoded, keep their keys, averaged over heads: ``(B, N, k)``."""

    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        encoding = encoding_in_progress.get()
        if encoding is None:
            return
        keys = output.detach().float().unflatten(-1, (-1, width)).mean(dim=-2)
        encoding.keys = keys[:, 1:] if drops_cls(config) else keys

    return after
