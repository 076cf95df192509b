"""The random model of `benchmarks.serving`, and the check of a server before it is timed."""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

from benchmarks.server import content, picture

VISUAL_TOKENS = 576
"""Of a picture of the random model."""


def random_llava(folder: Path) -> None:
    """Writes a LLaVA with random weights and the embedded model's tokenizer."""
    import torch
    from transformers import AutoProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers import LlavaForConditionalGeneration as Llava

    from apet import embedded

    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(embedded.PATH)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=384,
            intermediate_size=1536,
            num_hidden_layers=7,
            num_attention_heads=6,
            image_size=336,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=256,
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=20,
            num_attention_heads=16,
            num_key_value_heads=16,
            max_position_embeddings=4096,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        ),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,  # as LLaVA-1.5 has it
    )
    model = Llava(config)
    print(f"random LLaVA of {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def check(address: str, arguments: argparse.Namespace, model: str, keep: float) -> None:
    """Checks a server before it is timed.

    Raises:
        SystemExit: If it answers otherwise the second time or than transformers does.
    """
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=600, max_retries=0)
    url = picture(10**7, arguments.side)

    def ask() -> tuple[list[float], list[int]]:
        response = client.chat.completions.create(
            model="model",
            messages=[{"role": "user", "content": content(url)}],  # type: ignore[typeddict-item,list-item]
            max_tokens=arguments.tokens,
            temperature=0,
            logprobs=True,
            extra_body={"ignore_eos": True, "return_token_ids": True},
        )
        scores = [token.logprob for token in response.choices[0].logprobs.content]
        return scores, (response.model_extra or {})["prompt_token_ids"]

    found, prompt = ask()
    again, _ = ask()
    if max(abs(a - b) for a, b in zip(found, again, strict=True)) > arguments.close:
        raise SystemExit(f"keep={keep}: asked twice, the server answers {found} and {again}")
    if arguments.model is None:
        want, length = under_transformers(model, prompt, url, keep, arguments.tokens)
        if (
            length != len(prompt)
            or max(abs(a - b) for a, b in zip(found, want, strict=True)) > arguments.close
        ):
            raise SystemExit(
                f"keep={keep}: {len(prompt)} tokens answered by {found}; transformers: {length} and {want}"
            )


def under_transformers(
    folder: str, prompt: list[int], url: str, keep: float, tokens: int
) -> tuple[list[float], int]:
    """Log-probabilities of the greedy answer under `apet.apply`, and the length of the shortened prompt.

    The prompt is the server's, with as many placeholders as the encoder has tokens.
    """
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    import apet

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    pixels = AutoProcessor.from_pretrained(folder).image_processor(image, return_tensors="pt")["pixel_values"]
    visual = model.config.image_token_index
    begin, count = prompt.index(visual), prompt.count(visual)
    ids = torch.tensor([prompt[:begin] + [visual] * VISUAL_TOKENS + prompt[begin + count :]])
    with torch.no_grad(), apet.compressing(model, apet.ApET(keep)) as session:
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            max_new_tokens=tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        gone = sum(one.tokens - len(one.indices) for one in session.images)
    chosen = output.sequences[0, ids.shape[1] :, None]
    scores = torch.stack(output.logits)[:, 0].log_softmax(-1).gather(1, chosen)
    return scores[:, 0].tolist(), ids.shape[1] - gone
