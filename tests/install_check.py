"""Installs apet as a stranger would, each extra in an empty environment, and runs its main command.

``make test-installs`` calls it. There are no constraints: pip takes the newest that pyproject.toml allows. An
environment is deleted after its test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "examples" / "scene.png"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Environment:
    """A virtual environment in a folder, and the commands in it."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.bin = folder, folder / "venv" / "bin"
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)

    def pip(self, *arguments: str, **more: str) -> None:
        pip = [self.bin / "python", "-m", "pip", "--disable-pip-version-check", "-qq"]
        subprocess.run([*pip, *arguments], check=True, env={**os.environ, **more})

    def variables(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, **OFFLINE, "HF_HOME": str(self.folder / "home"), **more}

    def run(self, *command: str | Path, **more: str) -> str:
        """Runs a command of the environment in its folder; gives what it printed."""
        first, *rest = command
        done = subprocess.run(
            [self.bin / first, *rest],
            cwd=self.folder,
            env=self.variables(**more),
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def python(self, code: str, **more: str) -> str:
        return self.run("python", "-c", code, **more)

    def versions(self) -> str:
        code = "from importlib.metadata import version as v; print(v('torch'), v('transformers'))"
        torch, transformers = self.python(code).split()
        return f"torch {torch}, transformers {transformers}"

    def gigabytes(self) -> float:
        files = (
            path for path in (self.folder / "venv").rglob("*") if path.is_file() and not path.is_symlink()
        )
        return sum(path.stat().st_size for path in files) / 1e9


def answers(env: Environment) -> str:
    """``apet ask``, and the README's three lines as they stand there."""
    found = env.run("apet", "ask", PICTURE, "What does the text say?", "--keep", "64")
    assert "OTTER" in found, found
    page = (ROOT / "README.md").read_text(encoding="utf-8").split("## Three lines")[1]
    lines = page.split("```python\n")[1].split("```")[0]
    (env.folder / "examples").mkdir()
    shutil.copy(PICTURE, env.folder / "examples")
    assert env.python(lines).split()[-1] == "OTTER"
    return "`apet ask` and the README's three lines: OTTER"


def page(env: Environment) -> str:
    """``apet show`` serves its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [env.bin / "apet", "show", "--port", str(port)]
    with open(env.folder / "log", "w") as log:
        server = subprocess.Popen(command, cwd=env.folder, env=env.variables(), stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                    assert b"gradio" in answer.read()
                    return f"apet show: page with status {answer.status}"
            except OSError:
                assert server.poll() is None, (env.folder / "log").read_text()
                time.sleep(0.5)
        raise SystemExit("apet show: no page in two minutes")
    finally:
        server.terminate()
        server.wait(60)


def lmms(env: Environment) -> str:
    """lmms-eval asks drawn questions of the model ``apet``."""
    (env.folder / "task").mkdir()
    code = (
        "from pathlib import Path; from scene_task import write_task; write_task(Path('task'), ['read'], 2)"
    )
    env.python(code, PYTHONPATH=str(ROOT / "tests" / "lmms"))
    command = ["lmms-eval", "--model", "apet", "--model_args", "pretrained=embedded,keep=64"]
    command += [
        "--tasks",
        "apet_scenes",
        "--include_path",
        "task",
        "--batch_size",
        "1",
        "--output_path",
        "out",
    ]
    found = env.run(*command)
    assert "apet_scenes" in found, found
    return "lmms-eval --model apet: ran a task"


def plugin(env: Environment) -> str:
    """vLLM's PyPI wheel needs a GPU to serve; everywhere it loads the plugin and knows its architectures."""
    code = (
        "from vllm.plugins import load_general_plugins; load_general_plugins()\n"
        "from vllm import ModelRegistry\n"
        "print(sum(name.startswith('ApET') for name in ModelRegistry.get_supported_archs()))"
    )
    count = int(env.python(code, CUDA_VISIBLE_DEVICES="").split()[-1])
    assert count == 12, count
    env.run("apet", "serve", "--help")
    return f"vLLM loads the plugin: {count} architectures (not served: no GPU)"


def kernels(env: Environment) -> str:
    """Triton's interpreter chooses as the core does."""
    code = (
        "import apet, torch; torch.manual_seed(0); x = torch.randn(40, 8)\n"
        "print(apet.compress(x, 12).indices.tolist())"
    )
    wanted = env.python(code, APET_KERNELS="off")
    found = env.python(code, APET_KERNELS="on", TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")
    assert found == wanted, (found, wanted)
    return "APET_KERNELS=on chooses as the core"


def plots(env: Environment) -> str:
    """``apet bench`` draws."""
    env.run("apet", "bench", "ops", "--repeats", "1", "--device", "cpu", "--plot", "plot.png")
    assert (env.folder / "plot.png").stat().st_size > 1000
    return "apet bench ops --plot: a picture"


def video(env: Environment) -> str:
    """``apet picture`` reads an MP4."""
    code = """
import av, numpy
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("mpeg4", rate=8)
    stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
    for level in range(0, 240, 30):
        frame = av.VideoFrame.from_ndarray(numpy.full((96, 96, 3), level, numpy.uint8), format="rgb24")
        out.mux(stream.encode(frame))
    out.mux(stream.encode())
"""
    env.python(code)
    env.run("apet", "picture", "clip.mp4", "--keep", "16", "--output", "clip.png")
    assert (env.folder / "clip.png").stat().st_size > 1000
    return "apet picture clip.mp4: a sheet"


def reference(env: Environment) -> str:
    """What the real eye's tasks draw from is there."""
    env.python("import onnx, easy_vqa; from apet.scenes.photographs import *")
    return "onnx, scikit-image and easy-vqa load"


INSTALLS: dict[str, Callable[[Environment], str]] = {
    "plain": answers,
    "web": page,
    "eval": lmms,
    "vllm": plugin,
    "kernels": kernels,
    "plot": plots,
    "video": video,
    "reference": reference,
}


MATCHED = ("eval", "vllm")
"""These bring torchvision, which has to match torch: a torch that lies on the disk does not count."""


def main() -> None:
    """Prints a row of a Markdown table for each install; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("installs", nargs="+", choices=INSTALLS, metavar="INSTALL")
    parser.add_argument(
        "--torch", help="Install this first, such as torch==2.13.0 where a CPU wheel is at hand."
    )
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    print(
        "| install | seconds | GB | versions | main command |\n| --- | ---: | ---: | --- | --- |", flush=True
    )
    for name in options.installs:
        folder = Path(tempfile.mkdtemp(prefix=f"apet-{name}-"))
        try:
            began = time.monotonic()
            env = Environment(folder, options.python)
            if options.torch:
                env.pip("install", options.torch)
            wanted = str(ROOT) if name == "plain" else f"{ROOT}[{name}]"
            env.pip("install", wanted, **({"PIP_FIND_LINKS": str(folder)} if name in MATCHED else {}))
            seconds = time.monotonic() - began
            said = INSTALLS[name](env)
            extra = "" if name == "plain" else f"[{name}]"
            row = f"| `.{extra}` | {seconds:.0f} | {env.gigabytes():.1f} | {env.versions()} | {said} |"
            print(row, flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
