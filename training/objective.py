"""What is learnt: what every patch shows (the eye), and the answers to packed questions (the decoder)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from apet.scenes.labels import CHARS, IGNORE
from apet.scenes.scene import GRID
from apet.scenes.vocabulary import COLOURS, SHAPES

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


class DenseHeads(nn.Module):
    """Linear readings of what a patch shows; used in training, not saved."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, sum(CLASSES.values()))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits per target, ``(..., classes)``, of features ``(..., width)``."""
        parts = self.read(self.norm(features)).float().split(list(CLASSES.values()), dim=-1)
        return dict(zip(CLASSES, parts, strict=True))


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **_: object
) -> tuple[Tensor, None]:
    """Attention of a picture followed by packed questions.

    The picture's rows are causal; only the questions' rows carry a mask, ``(B, 1, T, L)``, so that no L x L
    mask exists. Without a mask, full attention (the eye).
    """
    if attention_mask is None:
        out = F.scaled_dot_product_attention(query, key, value)
        return out.transpose(1, 2), None
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    seen = query.shape[2] - attention_mask.shape[2]
    picture = F.scaled_dot_product_attention(
        query[:, :, :seen], key[:, :, :seen], value[:, :, :seen], is_causal=True
    )
    questions = F.scaled_dot_product_attention(query[:, :, seen:], key, value, attn_mask=attention_mask)
    return torch.cat((picture, questions), 2).transpose(1, 2), None


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
    return x[:, 1:]


def dense_loss(
    heads: DenseHeads, features: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
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


def question_mask(group: Tensor, seen: int) -> Tensor:
    """Who sees what: ``(B, 1, T, seen + T)`` bool from the group of every text token ``(B, T)``."""
    length = group.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=group.device).tril()
    same = (group[:, :, None] == group[:, None, :]) & causal
    return torch.cat((same.new_ones(1, 1, 1).expand(len(group), length, seen), same), 2)[:, None]


def answer_loss(
    model: LlavaForConditionalGeneration, features: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of the answers' tokens; accuracy per token."""
    core = model.model
    text = core.language_model
    visual = core.multi_modal_projector(features)
    begin = text.embed_tokens(batch["ids"].new_full((len(visual), 1), model.config.text_config.bos_token_id))
    x = _working(torch.cat((begin, visual, text.embed_tokens(batch["ids"]).to(visual.dtype)), 1))
    start = torch.zeros_like(batch["patches"][:, :1])
    behind = GRID * GRID + 1 + batch["positions"]
    positions = torch.cat((start, batch["patches"] + 1, behind), 1)
    mask = question_mask(batch["group"], visual.shape[1] + 1)
    rotary = text.rotary_emb(x, position_ids=positions)
    for layer in text.layers:
        x = layer(x, attention_mask=mask, position_embeddings=rotary)
    wanted = batch["targets"] != IGNORE
    logits = model.lm_head(text.norm(x[:, -mask.shape[2] :][wanted])).float()
    target = batch["targets"][wanted]
    return F.cross_entropy(logits, target), {"token": (logits.argmax(-1) == target).float().mean()}
