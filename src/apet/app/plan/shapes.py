"""What a model does per token and per picture, from runs of it without weights."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from apet.app.loading import context_of
from apet.app.plan.skeleton import Products, refused, watching, weights_of
from apet.hf.arguments import Given, cache_name
from apet.hf.choice.features import Features
from apet.hf.families import FAMILIES
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries

_CHUNK = 64
"""Linear attention runs in chunks of so many tokens: lengths are multiples of it."""
_KIND = "moe_mm_token_type_ids"
"""ERNIE's argument that tells visual tokens, which have experts of their own."""


@dataclass(frozen=True)
class Layer:
    """One decoder layer.

    Attributes:
        weights: Its weights.
        per_token: Operations for a token of text, but for attention.
        per_visual: Operations for a visual token, but for attention.
        per_pair: Operations for a token that another sees.
        held: Numbers in the KV cache for a token.
        state: Numbers in the cache that do not depend on the length.
        window: Most tokens that one sees; None for all.
    """

    weights: int
    per_token: float
    per_visual: float
    per_pair: float
    held: int
    state: int
    window: int | None

    def pairs(self, length: int) -> float:
        """Pairs of tokens in a prompt of which one sees the other; causal attention needs half of all."""
        if self.window is None or length <= self.window:
            return length * length / 2
        return self.window * (length - self.window / 2)

    def seen(self, length: float) -> float:
        """Tokens that stay in the KV cache."""
        return length if self.window is None else min(length, self.window)


@dataclass(frozen=True)
class Text:
    """The language model.

    Attributes:
        layers: Its decoder layers.
        per_token: Operations for every token outside of them.
        head: Weights of the output.
        weights: All weights, embeddings included.
        width: Hidden size.
        context: Most tokens of a prompt and its answer; None where the configuration does not tell.
    """

    layers: tuple[Layer, ...]
    per_token: float
    head: int
    weights: int
    width: int
    context: int | None


def text_of(model: Any) -> Text:
    """Reads the language model's shape off a `skeleton`."""
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    layers, head = list(text.layers), model.get_output_embeddings()
    lengths = (_CHUNK, 2 * _CHUNK)
    with refused(model.config, "a text"):
        runs = [_run(model, length, layers, head) for length in lengths]
        visual = runs
        if _KIND in inspect.signature(model.forward).parameters:
            visual = [_run(model, length, layers, head, visual=True) for length in lengths]
    cached = list(runs[-1][1].layers)
    cached += [None] * (len(layers) - len(cached))  # the last ones may read the caches of others
    found = []
    for number, layer in enumerate(layers):
        per_token, per_pair = _line([flops[number] for flops, _ in runs])
        per_visual, _ = _line([flops[number] for flops, _ in visual])
        held, state = _held(cached[number])
        window = getattr(cached[number], "sliding_window", None)
        found.append(Layer(weights_of(layer), per_token, per_visual, per_pair, held, state, window))
    remainder, _ = _line([flops[-1] for flops, _ in runs])
    embeddings = model.get_input_embeddings().weight
    return Text(
        layers=tuple(found),
        per_token=remainder,
        head=head.weight.numel(),
        weights=weights_of(text, model.get_input_embeddings(), head),
        width=embeddings.shape[-1],
        context=context_of(model.config),
    )


def _run(
    model: Any, length: int, layers: list[nn.Module], head: nn.Module, *, visual: bool = False
) -> tuple[list[int], Any]:
    """Operations of every layer, and of what is outside of layers and head, on a text; and the KV cache."""
    from transformers import DynamicCache

    ids, cache = torch.full((1, length), 5), DynamicCache(config=model.config.get_text_config())
    kwargs = {cache_name(model): cache} | ({_KIND: torch.ones_like(ids)} if visual else {})
    spent: dict[int, int] = {}
    counted = Products()
    with torch.no_grad(), counted, watching([*layers, head], counted, spent, []):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **kwargs)
    each = [spent[id(layer)] for layer in layers]
    return [*each, counted.flops - sum(each) - spent[id(head)]], cache


def _line(spent: list[int]) -> tuple[float, float]:
    """Per token and per pair, from the operations on one and two chunks; on no text there are none."""
    first, two = spent
    per_pair = (two - 2 * first) / (2 * _CHUNK**2)
    return first / _CHUNK - _CHUNK * per_pair, per_pair


def _held(layer: Any) -> tuple[int, int]:
    """Numbers per token, and numbers for any length, in a layer of a cache."""
    fields = {} if layer is None else dict(vars(layer))
    rows = [fields.pop(name) for name in ("keys", "values") if isinstance(fields.get(name), Tensor)]
    states = [x for x in tree_leaves(fields) if isinstance(x, Tensor) and x.is_floating_point()]
    return sum(x.numel() // x.shape[-2] for x in rows if x.numel()), sum(x.numel() for x in states)


@dataclass(frozen=True)
class Vision:
    """The vision side, for one picture.

    Attributes:
        parts: Visual tokens of every part (image, tile or frame) that has a budget of its own.
        others: Tokens in no part, which always stay: newlines.
        flops: Operations, but for those of an early projector.
        per_token: Operations of an early projector on one of its tokens; 0 if it does not run on kept tokens.
        weights: Weights of the encoder and the projector.
        out: Width of the tokens that ApET compares.
    """

    parts: tuple[int, ...]
    others: int
    flops: float
    per_token: float
    weights: int
    out: int

    @property
    def tokens(self) -> int:
        """Visual tokens of the picture."""
        return sum(self.parts) + self.others


def vision_of(model: Any, given: dict[str, Any]) -> Vision:
    """Reads the vision side's shape off a `skeleton`, given a picture or clip as a processor makes it."""
    base = model.base_model
    family = FAMILIES[model.config.model_type]
    modality = next((one for one in family.modalities if one.pixels in given), family.modalities[0])
    method = getattr(base, modality.method)
    names = list(inspect.signature(method).parameters)
    if modality.pixels not in names:  # a method for pictures and clips alike
        given = {**given, names[0]: given.get(modality.pixels)}
    given = {name: value for name, value in given.items() if name in names}
    arguments = Given({name: _plain(value) for name, value in given.items()})
    projector = getattr(base, family.projector) if family.projector else None
    spent: dict[int, int] = {}
    inputs: list[Tensor] = []
    counted, watched = Products(), [projector] if projector is not None else []
    with refused(model.config, "a picture"):
        with torch.no_grad(), counted, watching(watched, counted, spent, inputs):
            output = method(**arguments)
        features = Features.of(output)
        images = (modality.layout or entries)(Visual(base, arguments, features.entries))
    parts = tuple(len(rows) for image in images for rows in image)
    total, width, later = len(features.rows), features.rows.shape[-1], 0
    if projector is not None:
        width, later = inputs[0].shape[-1], spent[id(projector)]
    language = (family.text_of(base), model.get_input_embeddings(), model.get_output_embeddings())
    return Vision(
        parts=parts,
        others=total - sum(parts),
        flops=counted.flops - later,
        per_token=later / total,
        weights=weights_of(model) - weights_of(*language),
        out=width,
    )


def _plain(value: Any) -> Any:
    """As the skeleton's own tensors are: on the CPU, in float32."""
    if not isinstance(value, Tensor):
        return value
    return value.float().cpu() if value.is_floating_point() else value.cpu()
