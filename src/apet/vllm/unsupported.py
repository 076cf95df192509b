"""Architectures of vLLM that take images or videos and are not served under compression, and why not."""

from __future__ import annotations

_WHY: dict[str, tuple[str, ...]] = {
    "transformers 5.19 has no such model that it could be compared with": (
        "BagelForConditionalGeneration",
        "BailingMoeV3VLForConditionalGeneration",
        "BeeForConditionalGeneration",
        "DeepseekOCRForCausalLM",
        "DeepseekV41ForCausalLM",
        "DeepseekV4ForConditionalGeneration",
        "DeepseekVLV2ForCausalLM",
        "DotsOCRForCausalLM",
        "Eagle2_5_VLForConditionalGeneration",
        "GLM4VForCausalLM",
        "H2OVLChatModel",
        "HfMoondream",
        "InternS1ProForConditionalGeneration",
        "InternS2MobiusForConditionalGeneration",
        "InternS2PreviewForConditionalGeneration",
        "IsaacForConditionalGeneration",
        "KananaVForConditionalGeneration",
        "KeyeForConditionalGeneration",
        "KeyeVL1_5ForConditionalGeneration",
        "KimiK3ForConditionalGeneration",
        "KimiVLForConditionalGeneration",
        "Llama_Nemotron_Nano_VL",
        "LlavaOnevision2ForConditionalGeneration",
        "MiMoV2OmniForCausalLM",
        "MiniCPMO",
        "MiniCPMV",
        "Molmo2ForConditionalGeneration",
        "MolmoForCausalLM",
        "Moondream3ForCausalLM",
        "NVLM_D",
        "OpenCUAForConditionalGeneration",
        "OpenPanguVLForConditionalGeneration",
        "OpenVLAForActionPrediction",
        "Ovis",
        "Ovis2_5",
        "Ovis2_6ForCausalLM",
        "Ovis2_6_MoeForCausalLM",
        "Phi3VForCausalLM",
        "Phi4ForCausalLMV",
        "RForConditionalGeneration",
        "SkyworkR1VChatModel",
        "Step3VLForConditionalGeneration",
        "StepVLForConditionalGeneration",
    ),
    "not done yet: vLLM reads it by a config and a processor of its own, whose fields (`no_rope_layers`, "
    "`merge_kernel_size`) have other names in transformers": ("MuseGlimmerForConditionalGeneration",),
    "vLLM reads the makers' fields (`width`, `layers`), which the config of transformers 5.19 does not keep, "
    "so no checkpoint loads in both": ("Step3p7ForConditionalGeneration",),
    "its rotary channels lie in another order in vLLM than in transformers: with everything kept, "
    "log-probabilities differ by up to 0.4, without rotary positions by 2e-6": (
        "CohereCompassForConditionalGeneration",
    ),
    "has a pruning of its own": (
        "NemotronH_Nano_Omni_Reasoning_V3",
        "NemotronH_Nano_VL_V2",
        "NemotronH_Omni_Reasoning_V3",
        "NemotronH_Super_Omni_Reasoning_V3",
    ),
    "audio shares the placeholders of videos": (
        "Qwen2_5OmniForConditionalGeneration",
        "Qwen2_5OmniModel",
        "Qwen3OmniMoeForConditionalGeneration",
    ),
    "sparse attention chooses keys by an index of its own, which is not shortened": (
        "Dots3NoteForCausalLM",
        "MiniMaxM3SparseForConditionalGeneration",
        "Qwen4ExpForConditionalGeneration",
    ),
    "vLLM runs transformers' own code for it, in a class that serves many models": (
        "Emu3ForConditionalGeneration",
        "HunYuanVLForConditionalGeneration",
    ),
    "vLLM takes the makers' processor, which transformers lacks": ("Ernie4_5_VLMoeForConditionalGeneration",),
    "vLLM gives its images and videos a modality of their own, and prepares them by code of its own": (
        "KimiK25ForConditionalGeneration",
    ),
    "vLLM reads the makers' checkpoint only, with adapters for each modality": ("Phi4MMForCausalLM",),
    "a Q-Former reduces every image to a fixed few tokens": ("Blip2ForConditionalGeneration",),
    "a diffusion model: blocks of text are denoised": ("DiffusionGemmaForBlockDiffusion",),
    "an encoder-decoder model: no visual token stands in the decoder's prompt": (
        "NemotronParseForConditionalGeneration",
    ),
    "its encoder comes from timm, without which it cannot be compared": ("Gemma3nForConditionalGeneration",),
    "layers hand the numbers of chosen columns to the next": ("Glm5NextForConditionalGeneration",),
    "no checkpoint loads in both vLLM and transformers 5.19": ("LightOnOCRForConditionalGeneration",),
    "vLLM's code fixes the sizes of its encoder, so there is no tiny model": ("DeepseekOCR2ForCausalLM",),
    "vLLM's CPU build cannot run its encoder, so nothing can be compared": (
        "Llama4ForConditionalGeneration",
    ),
    "its tokenizer writes all placeholders before the processor sees them; the same models are served as "
    "Mistral3ForConditionalGeneration": ("PixtralForConditionalGeneration",),
    "its cache tells prompt from answer by the prompt's length": ("UnlimitedOCRForCausalLM",),
}
UNSUPPORTED: dict[str, str] = {name: reason for reason, names in _WHY.items() for name in names}
"""Why an architecture is not served, by its name."""
