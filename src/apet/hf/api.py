"""Apply a method to a transformers model, and remove it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from apet.core.errors import ApETError
from apet.hf.families import family_of
from apet.hf.hooks.install import Installed, check_fits, depth_of
from apet.hf.inner import base_of, inner_model
from apet.hf.sessions import Session
from apet.hf.state import call_in_progress, encoding_in_progress, generation_in_progress
from apet.methods import Attended, Method

_ATTRIBUTE = "_apet"


def _installed(model: Any) -> Installed | None:
    installed: Installed | None = getattr(inner_model(model), "__dict__", {}).get(_ATTRIBUTE)
    return installed


def apply(model: nn.Module, method: Method) -> Session:
    """Compress the visual tokens of every prompt that a model sees from now on.

    The model is used as before: ``model.generate(**inputs)`` or ``model(**inputs)``, with the same processor.
    Logits and ``last_hidden_state`` keep the prompt's original length, where each dropped token repeats the
    row before it, and ``labels`` may be given as ever. Hidden states and attentions of single layers have the
    length that the layer saw. Padding is dropped with the dropped tokens. ``model.get_image_features`` gives
    all features outside of a call; a forward pass that is given them drops tokens of them then.

    Under a method that is not blind to the prompt (``method.blind``) a filled cache holds what was chosen for
    the question that it was filled with, also for further turns. A filled cache, compressed or not, takes
    further turns of text and of new images; a model with positions of several axes (Qwen) then needs its
    ``position_ids``, as without compression. It can be saved, and continued in another process under an equal
    method. With ``prefill_chunk_size`` a chunk goes on to the end of the image that it ends in. Samples
    packed into a row see each other as little as without compression. What could only be answered wrongly is
    refused with an `ApETError`: cropping into an image, sliding windows shorter than the prompt with stage 2,
    further images in several rows where layers carry a state, block masks of a base model, parts of the model
    that were replaced meanwhile.

    The model may be compiled, as a whole or in parts, before or after: a prefill with images then runs
    eagerly, all else compiled.

    Applying an equal method again changes nothing. Do not apply or remove while another thread generates.

    Args:
        model: A supported model with its language-model head; see `supported_models`. One inside of a PEFT
            model, of ``torch.compile`` or of (fully sharded) distributed data parallel is found there.
        method: What to do, for example ``ApET(keep=64)``.

    Returns:
        The session, which tells per image what was kept.

    Raises:
        ApETError: If the model is not supported, another method is applied to it already, or the method does
            not fit it. The model is then as it was.

    Examples:
        >>> import apet
        >>> from PIL import Image
        >>> model, processor = apet.embedded.load()
        >>> picture = Image.new("RGB", (336, 336), "white")
        >>> inputs = processor(images=picture, text="<image>What is it?", return_tensors="pt")
        >>> session = apet.apply(model, apet.ApET(keep=64))
        >>> output = model.generate(**inputs, max_new_tokens=2)
        >>> session.kept_stage1, session.visual_tokens
        (64, 576)
        >>> apet.remove(model)
        True
    """
    if not isinstance(method, Method):
        got = (
            f"the class {method.__name__}"
            if isinstance(method, type)
            else f"an object of type {type(method).__name__}"
        )
        raise ApETError("apply", f"{got} as method", "a method such as ApET(keep=64)")
    model = inner_model(model)
    family = family_of(model, "apply")
    method = method.fitted(depth_of(model, family))
    installed = _installed(model)
    if installed is not None:
        if installed.method == method:
            return installed.session
        raise ApETError(
            "apply",
            f"{method!r} for a model that is compressed with {installed.method!r}",
            "apet.remove(model) first",
        )
    base = base_of(model)
    if _ATTRIBUTE in base.__dict__:
        raise ApETError(
            "apply",
            f"a {type(model).__name__} whose base model is compressed through another head",
            "apet.remove(..) on that one first: a base model is compressed once, for all its heads",
        )
    check_fits(model, family, method, "apply")
    installed = Installed(model, family, method)
    for owner in (model, base):
        owner.__dict__[_ATTRIBUTE] = installed
    return installed.session


def remove(model: nn.Module) -> bool:
    """Take a compression off a model: every hook and attribute is as before `apply`.

    KV caches that were filled under it can no longer be continued without it: a forward pass on one raises an
    `ApETError`, until an equal method is applied.

    Args:
        model: Any model.

    Returns:
        Whether there was something to remove. A model that is not compressed is left alone.

    Examples:
        >>> import apet
        >>> model, _ = apet.embedded.load()
        >>> session = apet.apply(model, apet.ApET(keep=64))
        >>> apet.remove(model), session.active, apet.remove(model)
        (True, False, False)
    """
    installed = _installed(model)
    if installed is None:
        return False
    running = (call_in_progress.get(), encoding_in_progress.get(), generation_in_progress.get())
    if any(state is not None and state.lease is installed.lease for state in running):
        raise ApETError("remove", "a model in the middle of a call", "remove behind it")
    head: Any = inner_model(model)
    for owner in (head, base_of(head)):
        owner.__dict__.pop(_ATTRIBUTE, None)
    installed.remove()
    return True


@contextmanager
def compressing(model: nn.Module, method: Method) -> Iterator[Session]:
    """Compress within a ``with`` block.

    The model is as before afterwards, also after an exception. If an equal method was applied already, it
    stays applied.

    Args:
        model: As for `apply`.
        method: As for `apply`.

    Yields:
        The session; its results can still be read after the block.

    Raises:
        ApETError: As for `apply`.

    Examples:
        >>> import apet
        >>> from PIL import Image
        >>> model, processor = apet.embedded.load()
        >>> picture = Image.new("RGB", (336, 336), "white")
        >>> inputs = processor(images=picture, text="<image>What is it?", return_tensors="pt")
        >>> with apet.compressing(model, apet.ApET(keep=96, stage2=apet.Stage2(layer=4, keep=32))) as session:
        ...     logits = model(**inputs).logits
        >>> session.kept_stage1, session.kept_stage2, session.active
        (96, 32, False)
    """
    outer = _installed(model)
    current = apply(model, method)
    try:
        yield current
    finally:
        if outer is None:
            remove(model)


@contextmanager
def on_its_attention(model: nn.Module, method: Method | None) -> Iterator[None]:
    """Puts a model on eager attention within a ``with`` block, if the method reads attention weights.

    Args:
        model: A transformers model that is not compressed.
        method: What will be applied in the block, or None.
    """
    if not isinstance(method, Attended):
        yield
        return
    owner: Any = model
    # Parts may differ. Setting a model's own sets those of its parts, which come behind it in this order.
    configs = {id(config): config for part in owner.modules() if (config := getattr(part, "config", None))}
    before = [(config, config._attn_implementation) for config in configs.values()]
    owner.set_attn_implementation("eager")
    try:
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def session(model: nn.Module) -> Session:
    """The session of a compressed model.

    Raises:
        ApETError: If the model is not compressed.

    Examples:
        >>> import apet
        >>> model, _ = apet.embedded.load()
        >>> apet.apply(model, apet.ApET(keep=64)) is apet.session(model)
        True
    """
    installed = _installed(model)
    if installed is None:
        raise ApETError(
            "session", f"a {type(model).__name__} that is not compressed", "apet.apply(model, ..) first"
        )
    return installed.session
