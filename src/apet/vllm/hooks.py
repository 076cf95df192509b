"""Everything of vLLM that the plugin relies on and that vLLM promises to nobody, by name.

`tests/vllm/test_hooks.py` compares it with the installed vLLM in seconds, and with the plugin: a hook that is
used and not named here fails as well. To move to another release, see the page on serving.
"""

from __future__ import annotations

_RUNNER = "vllm.v1.worker.gpu_model_runner:GPUModelRunner"
_PRUNER = "vllm.v1.worker.gpu.model_states.mm_pruning:MultiModalPruner"
_ROPE = "vllm.v1.worker.gpu.mm.rope:RopeState"
_PROCESSING = "vllm.multimodal.processing:BaseMultiModalProcessor"
_RENDERER = "vllm.renderers.base:BaseRenderer"

PROCESSOR: dict[str, str] = {
    "_cached_apply_hf_processor": "inputs timing_ctx",
    "_get_mm_hashes": "inputs",
    "_apply_hf_processor_main": "mm_items hf_kwargs",
    "_get_mm_fields_config": "hf_inputs hf_processor_mm_kwargs",
    "_get_mm_prompt_updates": "mm_items hf_processor_mm_kwargs out_mm_kwargs",
}
"""Overridden in processors, with the first parameters that vLLM's have."""
MODEL: dict[str, str] = {
    "embed_multimodal": "",
    "forward": "input_ids positions intermediate_tensors inputs_embeds",
    "get_encoder_cudagraph_config": "",
    "get_mm_lora_token_counts": "modality mm_kwargs num_mm_embeds",
    "get_mrope_input_positions": "input_tokens mm_features",
    "recompute_mrope_positions": "input_ids multimodal_embeddings mrope_positions num_computed_tokens",
}
"""Overridden in every model, as far as the family's has them."""
MROPE: dict[str, str] = {
    "_postprocess_image_embeds_evs": "",
    "_postprocess_video_embeds_evs": "",
}
"""Overridden in models whose positions have three axes, as far as the family's has them."""

CALLED: dict[str, str] = {
    f"{_RUNNER}._gather_mm_embeddings": "self scheduler_output shift_computed_tokens",
    f"{_PRUNER}._num_window_embeds": "self req_id query_start query_end",
    f"{_PRUNER}.recompute": "self mm_embeds input_batch req_states",
    f"{_PRUNER}.strip": "self mm_embeds",
    f"{_ROPE}.init_prefill_positions": "self req_idx model prefill_token_ids mm_features",
    f"{_ROPE}.read_prefill_positions": "self req_idx length",
    f"{_ROPE}.update_prefill_positions": "self req_idx positions delta",
    "vllm.v1.worker.gpu_model_runner:group_and_batch_mm_kwargs": "mm_kwargs",
    "vllm.v1.worker.gpu.mm.encoder_runner:group_and_batch_mm_kwargs": "mm_kwargs",
    "vllm.v1.worker.cpu_model_runner:CPUModelRunner": "",
    "vllm.platforms:current_platform.is_cpu": "",
    "vllm.model_executor.models.config:MODELS_CONFIG_MAP": "",
    "vllm.model_executor.models.config:VerifyAndUpdateConfig.verify_and_update_model_config": "model_config",
    "vllm.model_executor.models.registry:ModelRegistry.register_model": "model_arch model_cls",
    "vllm.model_executor.models.interfaces:SupportsMRoPE.get_mrope_input_positions": "self input_tokens",
    "vllm.model_executor.models.interfaces:SupportsMultiModalPruning.recompute_mrope_positions": (
        "self input_ids multimodal_embeddings mrope_positions num_computed_tokens"
    ),
    "vllm.multimodal.registry:_ProcessorFactories": "info processor dummy_inputs",
    "vllm.model_executor.models.utils:WeightsMapper": "",
    "vllm.config:ModelConfig.uses_mrope": "self",
    "vllm.config:MultiModalConfig.is_multimodal_pruning_enabled": "self",
    "vllm.config:SchedulerConfig": "",
    "vllm.sequence:IntermediateTensors": "tensors",
    f"{_RENDERER}._process_tokens_async": "self prompt",
    "vllm.entrypoints.openai.models.protocol:BaseModelPath": "name",
    "vllm.multimodal:MULTIMODAL_REGISTRY.create_processor": "model_config",
    "vllm.multimodal:MULTIMODAL_REGISTRY.register_processor": "processor",
    f"{_PROCESSING}.__init__": "self info",
    "vllm.multimodal.processing:PromptUpdateDetails": "full is_embed",
    "vllm.multimodal.processing.processor:ResolvedPromptUpdate.with_content": "self content",
    "vllm.multimodal.inputs:MultiModalBatchedField": "",
    "vllm.multimodal.inputs:MultiModalFieldElem": "data field",
    "vllm.multimodal.inputs:MultiModalFeatureSpec": "data modality identifier mm_position",
    "vllm.multimodal.inputs:PlaceholderRange.get_num_embeds": "self",
    "vllm.multimodal.parse:DictEmbeddingItems": "",
    "vllm.multimodal.parse:EmbeddingItems": "",
}
"""Replaced, called or subclassed, with the first parameters."""

READ: dict[str, tuple[str, ...]] = {
    f"{_PROCESSING}.apply": ("self._cached_apply_hf_processor(inputs, timing_ctx)",),
    f"{_PROCESSING}._cached_apply_hf_processor": (
        "self._apply_hf_processor(inputs, timing_ctx)",
        "prompt_updates=mm_prompt_updates",
    ),
    f"{_RENDERER}._process_singleton_async": ("self._process_tokens_async(",),
    f"{_RENDERER}._process_tokens_async": (
        'prompt.get("multi_modal_data")',
        'mm_processor_kwargs=prompt.get("mm_processor_kwargs")',
        "skip_mm_cache=skip_mm_cache",
    ),
    "vllm.renderers.online_renderer:OnlineRenderer.preprocess_chat": (
        "validate_request_mm_kwargs(",
        "renderer.render_chat_async(",
    ),
    "vllm.entrypoints.serve.middleware.register:init_entrypoints_middleware": (
        "for middleware in args.middleware",
        "app.add_middleware(imported)",
    ),
    "vllm.entrypoints.launchers.api_server.app_state:init_app_state": (
        "state.openai_serving_models = OpenAIServingModels(",
    ),
    "vllm.entrypoints.openai.models.serving:OpenAIServingModels.__init__": (
        "self.base_model_paths = base_model_paths",
    ),
    f"{_RUNNER}._gather_mm_embeddings": (
        "for req_id in self.input_batch.req_ids",
        "req_state.mm_features",
        "req_state.num_computed_tokens + shift_computed_tokens",
        "scheduler_output.num_scheduled_tokens[req_id]",
        "if self.is_multimodal_pruning_enabled and self.uses_mrope",
        "self.model.recompute_mrope_positions(",
        "req_state.mrope_positions.copy_(new_mrope_positions)",
        "self._calc_mrope_positions(scheduler_output)",
    ),
    f"{_RUNNER}._init_mrope_positions": ("get_mrope_input_positions(", "mrope_features"),
    f"{_RUNNER}._execute_mm_encoder": ("group_and_batch_mm_kwargs(", "get_mm_lora_token_counts("),
    f"{_RUNNER}.sync_and_gather_intermediate_tensors": ("for k, v in intermediate_tensors.items()",),
    f"{_PRUNER}.recompute": (
        "self._num_window_embeds(req_id, num_computed, query_end)",
        "if num_req_embeds == 0",
        "self.model.recompute_mrope_positions(",
    ),
    f"{_PRUNER}._num_window_embeds": ("self.encoder_cache.mm_features[req_id]",),
    f"{_PRUNER}.strip": ("mm[:, : self.inputs_embeds_size]",),
    f"{_ROPE}.init_prefill_positions": ("get_mrope_input_positions(",),
    "vllm.v1.worker.gpu.model_states.mm_pruning:maybe_create_mm_pruner": (
        "model_config.multimodal_config.is_multimodal_pruning_enabled()",
        "supports_multimodal_pruning(model)",
    ),
    "vllm.v1.worker.gpu.model_states.default:DefaultModelState.prepare_inputs_embeds": (
        "self.mm_pruner.recompute(mm_embeds, input_batch, req_states)",
    ),
    "vllm.v1.worker.gpu.mm.encoder_runner:EncoderRunner.execute_mm_encoder": ("group_and_batch_mm_kwargs(",),
    "vllm.transformers_utils.config:_mrope_section": ("getattr_iter(config, names",),
    "vllm.transformers_utils.config:uses_mrope": ("_uses_mrope(config)",),
    "vllm.config:ModelConfig._try_verify_and_update_model_config": (
        "MODELS_CONFIG_MAP.get(architecture",
        "verify_and_update_model_config(self)",
    ),
    "vllm.v1.spec_decode.llm_base_proposer:SpecDecodeBaseProposer.get_model_name": (
        "model.__class__.__name__",
    ),
}
"""What is relied on inside their code, to the letter: that they call what is given to them, and when."""
FAMILIES: dict[str, str] = {
    "hf_to_vllm_mapper": "LLaVA, Gemma 3 and PaliGemma: names of weights",
    "multi_modal_projector": "LLaVA and PaliGemma: called on the kept tokens",
    "_process_image_pixels": "LLaVA: features before the projector",
    "_image_pixels_to_features": "PaliGemma: the same",
    "_parse_and_validate_image_input": "LLaVA and PaliGemma: its arguments",
    "_merge_image_patch_embeddings": "LLaVA-NeXT and OneVision: the packing of tiles, run on their numbers",
    "get_anyres_image_grid_shape": "LLaVA-NeXT and OneVision: the grid of tiles",
    "_pack_and_unpad_image_features": "Granite Vision: the same",
    "build_mm_input_norm": "EXAONE: what its encoder lacks",
    "visual_dim": "Qwen3-VL and 3.5: channels of the main features",
}
"""What single families use."""
