"""Shapes of a model, read from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from apet.app.context import context_of
from apet.core.errors import ApETError

__all__ = ["Text", "Vision", "text_of", "vision_of"]


@dataclass(frozen=True)
class Text:
    """The language model.

    Attributes:
        layers: Decoder layers.
        width: Hidden size.
        queries: Query heads.
        keys: Key and value heads.
        head: Channels of a head.
        inner: Width of the gated MLP.
        vocabulary: Entries of the embedding.
        tied: Whether the output shares the embedding's weights.
        context: Most tokens of a prompt and its answer; None where the configuration does not tell.
    """

    layers: int
    width: int
    queries: int
    keys: int
    head: int
    inner: int
    vocabulary: int
    tied: bool
    context: int | None

    @property
    def layer_weights(self) -> int:
        """Weights of one layer's matrices."""
        attention = 2 * self.width * self.head * (self.queries + self.keys)
        return attention + 3 * self.width * self.inner

    @property
    def weights(self) -> int:
        """Weights of all matrices, embeddings included."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.layers * self.layer_weights + embeddings


@dataclass(frozen=True)
class Vision:
    """The vision encoder, per image, tile or frame ("part").

    Attributes:
        parts: Parts of one picture or clip.
        patches: Tokens inside the encoder, per part.
        seen: Tokens that one token attends to, per layer.
        width: Hidden size.
        inner: Width of the MLP.
        matrices: Matrices in the MLP: 2, or 3 if it is gated.
        tokens: Visual tokens that come out of a part.
        out: Width of the tokens that ApET compares.
        projector: Weights of the projector that every visual token (or every kept one) passes.
        early: Whether the projector runs on kept tokens only.
    """

    parts: int
    patches: int
    seen: tuple[int, ...]
    width: int
    inner: int
    matrices: int
    tokens: int
    out: int
    projector: int
    early: bool

    @property
    def layer_weights(self) -> int:
        """Weights of one layer's matrices."""
        return self.width * (4 * self.width + self.matrices * self.inner)

    @property
    def weights(self) -> int:
        """Weights of the encoder and the projector."""
        return len(self.seen) * self.layer_weights + self.projector


def text_of(config: Any) -> Text:
    """Reads the language model's shape.

    Raises:
        ApETError: If it is not a plain dense decoder.
    """
    text = config.get_text_config()
    if any(getattr(text, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise ApETError("plan", f"a mixture of experts ({text.model_type})", "a dense language model")
    try:
        width, queries = int(text.hidden_size), int(text.num_attention_heads)
        return Text(
            layers=int(text.num_hidden_layers),
            width=width,
            queries=queries,
            keys=int(getattr(text, "num_key_value_heads", None) or queries),
            head=int(getattr(text, "head_dim", None) or width // queries),
            inner=int(text.intermediate_size),
            vocabulary=int(text.vocab_size),
            tied=bool(getattr(config, "tie_word_embeddings", False)),
            context=context_of(config),
        )
    except AttributeError as error:
        raise ApETError("plan", f"a {text.model_type} without {error.name}", "a dense decoder") from error


def vision_of(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """Reads the vision side's shape for pictures of a size (width, height); None for the type's usual one.

    Raises:
        ApETError: If the model type is not known here.
    """
    read = _READERS.get(config.model_type)
    if read is None:
        known = ", ".join(sorted(_READERS))
        raise ApETError("plan", f"model type {config.model_type!r}", f"one of: {known}")
    return read(config, size, text)


def _encoder(
    config: Any, parts: int, patches: int, tokens: int, out: int, projector: int, *, early: bool = False
) -> Vision:
    """An encoder whose layers all see the whole part, with plain MLPs."""
    vision = config.vision_config
    return Vision(
        parts=parts,
        patches=patches,
        seen=(patches,) * vision.num_hidden_layers,
        width=vision.hidden_size,
        # DINOv2 gives it as a multiple.
        inner=getattr(vision, "intermediate_size", None) or int(vision.hidden_size * vision.mlp_ratio),
        matrices=2,
        tokens=tokens,
        out=out,
        projector=projector,
        early=early,
    )


def _clip(config: Any, parts: int, extra: int, text: Text, *, early: bool) -> Vision:
    """A CLIP encoder with a class token; ``extra`` says whether that is a visual token as well."""
    vision = config.vision_config
    # DINOv2's image_size is that of its positions, which are resampled for smaller pictures.
    resampled = vision.model_type == "dinov2"
    grid = config.image_seq_length if resampled else (vision.image_size // vision.patch_size) ** 2
    out = vision.hidden_size if early else text.width
    projector = vision.hidden_size * text.width + text.width**2
    return _encoder(config, parts, grid + 1, grid + extra, out, projector, early=early)


def _llava(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    extra = 0 if config.vision_feature_select_strategy == "default" else 1
    return _clip(config, 1, extra, text, early=True)


def _llava_next(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """A base tile and a grid of tiles; newline tokens and the cut at the borders are left out."""
    from transformers.image_processing_utils import select_best_resolution

    width, height = size or (672, 672)
    best = select_best_resolution((height, width), config.image_grid_pinpoints)
    side = config.vision_config.image_size
    return _clip(config, 1 + (best[0] // side) * (best[1] // side), 0, text, early=False)


def _video_llava(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """A clip of 8 frames, each with its class token."""
    return _clip(config, 8, 1, text, early=False)


def _qwen(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """A grid of any size; Qwen2.5's encoder attends in windows, but for a few layers."""
    vision = config.vision_config
    side = vision.patch_size * vision.spatial_merge_size
    width, height = size or (36 * side, 36 * side)
    tokens = max(1, round(width / side)) * max(1, round(height / side))
    patches = tokens * vision.spatial_merge_size**2
    hidden = vision.embed_dim if config.model_type == "qwen2_vl" else vision.hidden_size
    inner = getattr(vision, "intermediate_size", None) or int(hidden * vision.mlp_ratio)
    whole = getattr(vision, "fullatt_block_indexes", None)
    window = patches if whole is None else (vision.window_size // vision.patch_size) ** 2
    merged = hidden * vision.spatial_merge_size**2
    return Vision(
        parts=1,
        patches=patches,
        seen=tuple(
            patches if whole is None or i in whole else min(window, patches) for i in range(vision.depth)
        ),
        width=hidden,
        inner=inner,
        matrices=3 if config.model_type == "qwen2_5_vl" else 2,
        tokens=tokens,
        out=text.width,
        projector=merged * merged + merged * text.width,
        early=False,
    )


def _internvl(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """Up to 12 tiles, and a thumbnail beside two or more; four patches make a token."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    vision = config.vision_config
    side, patch = vision.image_size[0], vision.patch_size[0]
    width, height = size or (side, side)
    tiles = prod(get_optimal_tiled_canvas((height, width), (side, side), 1, 12))
    patches, shrink = (side // patch) ** 2, int(1 / config.downsample_ratio) ** 2
    projector = shrink * vision.hidden_size * text.width + text.width**2
    return _encoder(config, tiles + (tiles > 1), patches + 1, patches // shrink, text.width, projector)


def _gemma3(config: Any, size: tuple[int, int] | None, text: Text) -> Vision:
    """One view of a fixed size, averaged to a smaller grid, which the projector maps.

    Sliding windows are not counted: behind prompts that are longer, the cache is smaller than is said.
    """
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    projector = vision.hidden_size * text.width
    return _encoder(config, 1, patches, config.mm_tokens_per_image, text.width, projector)


_READERS = {
    "gemma3": _gemma3,
    "internvl": _internvl,
    "llava": _llava,
    "llava_next": _llava_next,
    "video_llava": _video_llava,
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "qwen3_vl": _qwen,
}
