"""What is learnt: what every patch shows (the eye), and the answers to packed questions (the decoder)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from apet.scenes.scene import GRID
from apet.scenes.vocabulary import COLOURS, SHAPES
from training.labels import CHARS, IGNORE

CLASSES = {
    "kind": 3,
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "char": len(CHARS),
    "place": 6,
    "row": GRID,
    "column": GRID,
    "anchor": 2,
}
"""Number of classes of every dense target."""
MEAN, STD = 127.5, 63.75
"""Pixel normalisation; the processor's settings say the same in units of 255."""


class Heads(nn.Module):
    """Linear readings of patches and of questions about places; used in training, not saved."""

    def __init__(self, vision: int, text: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(vision)
        self.read = nn.Linear(vision, sum(CLASSES.values()))
        self.spots = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, 2))
        self.gaps = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, 2))
        self.claims = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, 1))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits per target, ``(..., classes)``, of features ``(..., width)``."""
        parts = self.read(self.norm(features)).float().split(list(CLASSES.values()), dim=-1)
        return dict(zip(CLASSES, parts, strict=True))


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float = 1.0,
    slots: int = 0,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of a picture followed by packed questions, each in ``slots`` places.

    The picture's rows are causal. A question's rows see the whole picture and their own question, so that one
    pass over a picture serves all its questions. Without a mask (which says how many rows the picture has)
    attention is full, as in the eye.
    """
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    query = query * scaling
    if attention_mask is None:
        return _attend(query @ key.mT, value).transpose(1, 2), None
    seen = attention_mask.shape[-1]
    batch, heads, length, width = query.shape
    picture = _attend(query[:, :, :seen] @ key[:, :, :seen].mT + attention_mask, value[:, :, :seen])
    shape = (batch, heads, (length - seen) // slots, slots, width)
    own_query, own_key, own_value = (x[:, :, seen:].reshape(shape) for x in (query, key, value))
    to_picture = (query[:, :, seen:] @ key[:, :, :seen].mT).unflatten(2, (-1, slots))
    to_own = own_query @ own_key.mT + attention_mask[:slots, :slots]
    weights = torch.cat((to_picture, to_own), -1).float().softmax(-1).to(value.dtype)
    from_picture = weights[..., :seen].flatten(2, 3) @ value[:, :, :seen]
    questions = from_picture + (weights[..., seen:] @ own_value).flatten(2, 3)
    return torch.cat((picture, questions), 2).transpose(1, 2), None


def _attend(scores: Tensor, value: Tensor) -> Tensor:
    return scores.float().softmax(-1).to(value.dtype) @ value


ALL_ATTENTION_FUNCTIONS.register("packed", packed_attention)


def _working(x: Tensor) -> Tensor:
    """The residual stream in autocast's dtype: half the memory traffic, which is what a CPU waits for."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def see(model: LlavaForConditionalGeneration, pixels: Tensor, patches: Tensor) -> Tensor:
    """Features ``(B, n, width)`` of windows whose patches have these numbers ``(B, n)`` in the picture."""
    tower = model.model.vision_tower
    embed = tower.embeddings
    x = embed.patch_embedding((pixels.float() - MEAN) / STD).flatten(2).transpose(1, 2)
    x = x + embed.position_embedding(patches + 1)
    first = (embed.class_embedding + embed.position_embedding.weight[0]).expand(x.shape[0], 1, -1)
    x = tower.pre_layrnorm(torch.cat((first, x), 1))
    x = _working(x)
    for layer in tower.encoder.layers:
        x = layer(x, attention_mask=None)
    patched: Tensor = x[:, 1:]
    return patched


def dense_loss(heads: Heads, features: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum over targets of the mean cross-entropy, and the accuracy of each target."""
    total, scores = features.new_zeros(()), {}
    for name, logits in heads(features).items():
        target = batch[name]
        valid = target != IGNORE
        total = total + F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORE)
        if name == "anchor":
            valid = valid & (target == 1)
        scores[name] = ((logits.argmax(-1) == target) & valid).sum() / valid.sum().clamp(min=1)
    return total, scores


def unlikeness(features: Tensor, kind: Tensor) -> Tensor:
    """How unlike each other the features of empty patches are: 0 if they are all the same.

    The mean distance from their mean, in units of the others' norm, plus one minus the mean cosine with
    it. Patches that are alike are explained by one basis token, as ApET's error expects of background.
    """
    empty, others = features[kind == 0].float(), features[kind != 0].float()
    centre = empty.mean(0)
    apart: Tensor = (empty - centre).norm(dim=-1).mean() / others.norm(dim=-1).mean().detach()
    turned: Tensor = 1 - F.cosine_similarity(empty, centre.detach(), dim=-1).mean()
    return apart + turned


def answer_loss(
    model: LlavaForConditionalGeneration, heads: Heads, features: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Cross-entropy of the answers' tokens, and the error of the places that they need.

    Half-way up the decoder, the words that name a shape must tell where it is. A layer later, the end of a
    question about two shapes must tell how far one lies behind the other, and below the top layer, how far it
    lies the way that the question asks about.
    """
    core = model.model
    text = core.language_model
    visual = core.multi_modal_projector(features)
    ids = batch["ids"].flatten(1)
    begin = text.embed_tokens(ids.new_full((len(visual), 1), text.config.bos_token_id))
    x = _working(torch.cat((begin, visual, text.embed_tokens(ids).to(visual.dtype)), 1))
    questions, slots = batch["ids"].shape[1:]
    behind = GRID * GRID + 1 + torch.arange(slots, device=ids.device).repeat(questions)
    first = torch.zeros_like(batch["patches"][:, :1])
    positions = torch.cat((first, batch["patches"] + 1, behind.expand(len(visual), -1)), 1)
    rotary = text.rotary_emb(x, position_ids=positions)
    seen = visual.shape[1] + 1
    mask = torch.full((seen, seen), -1e4, device=x.device, dtype=x.dtype).triu(1)
    top = len(text.layers)
    middle = top // 2
    reads = {middle: "spots", middle + 1: "gaps", top - 2: "claims"}
    places, scores = x.new_zeros((), dtype=torch.float32), dict[str, Tensor]()
    for number, layer in enumerate(text.layers):
        x = layer(x, attention_mask=mask, position_embeddings=rotary, slots=slots)
        if number in reads:
            name = reads[number]
            wanted = batch[name].flatten(1, 2)
            there = ~wanted[..., 0].isnan()
            error = (getattr(heads, name)(x[:, seen:][there]).float() - wanted[there]).abs()
            # Under absolute errors a claim stayed at a guess of zero, the middle of two equal halves.
            cost = error.square() if name == "claims" else error
            places = places + cost.sum() / max(cost.numel(), 1)
            scores[name] = error.detach().mean()
    target = batch["targets"].flatten(1)
    wanted = target != IGNORE
    logits = model.lm_head(text.norm(x[:, seen:][wanted])).float()
    right = (logits.argmax(-1) == target[wanted]).float().mean()
    return F.cross_entropy(logits, target[wanted]), places, {"token": right, **scores}
