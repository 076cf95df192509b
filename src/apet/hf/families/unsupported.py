"""Types of transformers' image-text-to-text models that cannot be compressed, and why not.

With the families' rows these are all types of that mapping (transformers 5.24). Read in the modelling code.
"""

from __future__ import annotations

_CROSS = "its text layers read the image by cross-attention: no visual token stands in the sequence"
_ENCODER_DECODER = "an encoder-decoder model: the image is read by an encoder, and the decoder reads that"
_QFORMER = (
    "a Q-Former reduces every image to a fixed few tokens before the language model, and its generate hands "
    "their embeddings to another model's generate"
)
_DISCRETE = "an image becomes discrete tokens of the vocabulary, whose embeddings are not to be merged"
_DISTANCES = (
    "attention is biased by the distance between columns of the cache, which dropping a token changes, "
    "and there are no rotary positions to keep"
)

UNSUPPORTED: dict[str, str] = {
    "apertus1p5": _DISCRETE,
    "blip": _CROSS,
    "blip-2": _QFORMER,
    "chameleon": _DISCRETE,
    "diffusion_gemma": "a diffusion model: a decoder denoises blocks of text that read an encoder's cache",
    "dots3_note": "sparse attention chooses keys by an index of its own in the cache, which is not shortened",
    "emu3": _DISCRETE,
    "evolla": _CROSS,
    "florence2": _ENCODER_DECODER,
    "git": "the text model itself puts the image before the prompt: no placeholder stands for a visual token",
    "glm5_next": (
        "no rotary positions, hidden states of several streams (four dimensions), and layers that hand the "
        "numbers of chosen columns to the next"
    ),
    "hy_v4_vl": (
        "sparse attention chooses keys by an index of its own in the cache, which is not shortened, and "
        "hidden states have several streams (four dimensions)"
    ),
    "idefics": _CROSS,
    "inkling2": _DISTANCES,
    "inkling2_loop": _DISTANCES,
    "inkling_mm_model": _DISTANCES,
    "instructblip": _QFORMER,
    "instructblipvideo": _QFORMER,
    "kosmos-2": "the text model itself places the image, and adds absolute positions to the embeddings",
    "kosmos-2.5": "the text model itself places the image, and adds absolute positions to the embeddings",
    "minimax_m3_vl": (
        "sparse attention chooses blocks of keys by their place in the cache: in a shortened prompt a block "
        "holds other tokens"
    ),
    "mistral4": "a text model without vision; with vision, Mistral 4 has the type mistral3",
    "mistral_large4": (
        "layers hand the numbers of chosen columns to the next, and queries are scaled by the positions that "
        "layers get"
    ),
    "mllama": _CROSS,
    "nemotron_h_omni": (
        "its decoder has no rotary positions, no base model holds the language model, and it prunes video "
        "tokens itself"
    ),
    "pi0": "a policy for robots: it makes actions by diffusion, not text",
    "pix2struct": _ENCODER_DECODER,
    "pp_formulanet": _ENCODER_DECODER,
    "qwen4_exp": (
        "sparse attention keeps an index of keys and their positions in the cache, which is not shortened, "
        "and layers look up embeddings by runs of token ids"
    ),
    "t5gemma2": _ENCODER_DECODER,
    "udop": _ENCODER_DECODER,
    "unlimited_ocr": (
        "its cache tells prompt from answer by the prompt's length, which its own generate sets before the "
        "prompt is shortened"
    ),
    "vision-encoder-decoder": _ENCODER_DECODER,
}
"""Why a model type cannot be compressed, by ``config.model_type``."""
