"""Models inside of others, saved caches and models, and what is freed."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove, session
from apet.hf.api import on_its_attention
from apet.hf.arguments import cache_out
from apet.methods import ApET, FastV, VisionZip
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.tiny import CACHE, prompts, tiny_llava

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def process_group(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_peft_model(llava, when):
    model, inputs = tiny_llava(), prompts(PROMPTS["ragged"])
    config = LoraConfig(target_modules=r".*language_model.*q_proj", init_lora_weights=True)
    if when == "after":
        apply(model, method("both"))
    wrapped = get_peft_model(model, config)
    found = apply(wrapped, method("both"))
    with compressing(llava, method("both")):
        torch.testing.assert_close(wrapped(**inputs).logits, llava(**inputs).logits)
        options = {"max_new_tokens": 4, "do_sample": False}
        assert torch.equal(wrapped.generate(**inputs, **options), llava.generate(**inputs, **options))
    assert session(wrapped) is found
    assert remove(wrapped)
    torch.testing.assert_close(wrapped(**inputs).logits, llava(**inputs).logits)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_distributed_models(llava, process_group, kind):
    model, inputs = tiny_llava(), prompts(PROMPTS["ragged"])
    if kind == "ddp":
        wrapped = DistributedDataParallel(model)
    else:
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        for layer in model.model.language_model.layers:
            fully_shard(layer, mesh=mesh)
        wrapped = fully_shard(model, mesh=mesh)
    with compressing(llava, method("both")), compressing(wrapped, method("both")):
        torch.testing.assert_close(wrapped(**inputs).logits, llava(**inputs).logits)


def test_data_parallel_is_refused(llava):
    with pytest.raises(ApETError, match="expected DistributedDataParallel"):
        apply(torch.nn.DataParallel(llava), ApET(4))


@pytest.mark.parametrize("save", [copy.deepcopy, pickle.dumps, lambda model: torch.save(model, io.BytesIO())])
def test_a_compressed_model_is_not_saved_or_copied(save):
    model = tiny_llava()
    with compressing(model, method("both")):
        for part in (model, model.model, model.model.language_model, model.model.language_model.layers[3]):
            with pytest.raises(ApETError, match=r"a model under compression; expected apet\.remove"):
                save(part)
        torch.save(model.state_dict(), io.BytesIO())
    save(model)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("static", [False, True])
def test_a_cache_that_was_saved(llava, stage, static):
    inputs = prompts(PROMPTS["ragged"])
    mask = torch.cat([inputs["attention_mask"], torch.ones(2, 1, dtype=torch.long)], 1)
    step = {
        "input_ids": torch.tensor([[5], [9]]),
        "attention_mask": mask,
        "position_ids": mask.sum(1, keepdim=True) - 1,
    }
    options = {"cache_implementation": "static"} if static else {}
    with compressing(llava, method(stage)):
        cache = llava.generate(
            **inputs, max_new_tokens=1, **options, return_dict_in_generate=True, disable_compile=True
        )
        saved = pickle.dumps(cache_out(cache))
        expected = llava(**step, **{CACHE: cache_out(cache)}).logits if not static else None
    loaded = pickle.loads(saved)
    with pytest.raises(ApETError, match="compression which has been removed"):
        llava(**step, **{CACHE: loaded})
    with compressing(llava, ApET(7)), pytest.raises(ApETError, match="under another compression"):
        llava(**step, **{CACHE: loaded})
    with compressing(llava, method(stage)):
        if not static:
            torch.testing.assert_close(llava(**step, **{CACHE: loaded}).logits, expected)
        assert loaded.get_seq_length() == 80 if static else True
    assert type(pickle.loads(saved)).__name__.startswith("Compressed")


def test_a_cache_in_another_process(llava, tmp_path):
    inputs = prompts(PROMPTS["one"])
    step = {"input_ids": torch.tensor([[5]]), "position_ids": torch.tensor([[42]])}
    with compressing(llava, method("both")):
        cache = cache_out(llava(**inputs))
        torch.save(cache, tmp_path / "cache.pt")
        expected = llava(**step, **{CACHE: cache}).logits
    torch.save((step, expected), tmp_path / "expected.pt")
    code = f"""
        import torch
        from apet.hf import apply
        from tests.hf.cases import method
        from tests.hf.tiny import CACHE, tiny_llava
        torch.set_grad_enabled(False)
        model = tiny_llava()
        apply(model, method("both"))
        step, expected = torch.load(r"{tmp_path}/expected.pt")
        cache = torch.load(r"{tmp_path}/cache.pt", weights_only=False)
        torch.testing.assert_close(model(**step, **{{CACHE: cache}}).logits, expected)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("state", ["applied", "used", "removed"])
def test_a_model_is_freed_when_nobody_uses_it(state):
    model, inputs = tiny_llava(), prompts(PROMPTS["one"])
    model.generate(**inputs, max_new_tokens=2)
    gc.collect()
    gc.disable()
    try:
        found = apply(model, method("both"))
        if state != "applied":
            model.generate(**inputs, max_new_tokens=2)
        if state == "removed":
            remove(model)
        weights = weakref.ref(next(model.parameters()))
        del model
        assert weights() is None
    finally:
        gc.enable()
    assert found.method == method("both")


@pytest.mark.parametrize("chosen", [FastV(keep=6, layer=1), VisionZip(keep=6), ApET(keep=6), None])
def test_every_part_gets_its_own_attention_back(chosen):
    model = tiny_llava()
    model.set_attn_implementation({"text_config": "sdpa", "vision_config": "eager"})
    parts = [part for part in model.modules() if hasattr(part, "config")]
    before = [part.config._attn_implementation for part in parts]
    assert len(set(before)) > 1
    with on_its_attention(model, chosen):
        inside = {part.config._attn_implementation for part in parts}
        assert (inside == {"eager"}) == isinstance(chosen, FastV | VisionZip)
    assert [part.config._attn_implementation for part in parts] == before


def test_the_error_for_an_unsupported_model_is_short():
    with pytest.raises(ApETError, match=r"got a Linear; expected .*`apet models`") as error:
        apply(torch.nn.Linear(1, 1), ApET(keep=1))
    assert len(str(error.value)) < 200


class Around(torch.nn.Module):
    """Hands everything on to what is inside, as sharding does."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, *args, **kwargs):
        return self.inside(*args, **kwargs)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inside"), name)


def test_parts_inside_of_wrappers(llava):
    model, inputs = tiny_llava(), prompts(PROMPTS["ragged"])
    text = model.model.language_model
    for number, layer in enumerate(text.layers):
        text.layers[number] = Around(layer)
    text.rotary_emb = Around(text.rotary_emb)
    model.model.language_model = Around(text)
    model.model.multi_modal_projector = Around(model.model.multi_modal_projector)
    with compressing(llava, method("both")), compressing(model, method("both")):
        assert torch.equal(model(**inputs).logits, llava(**inputs).logits)
