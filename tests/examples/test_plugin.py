"""The example package outside of the library, installed: its method is listed and works like any other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples/plugin"


def run(target, code, check=True):
    """Run Python where the packages in a folder are installed."""
    paths = [str(target), str(ROOT / "src"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=check,
        env=environment,
        timeout=300,
    )


BROKEN = """
from dataclasses import KW_ONLY, dataclass
from apet.methods import Method, Picked, Picker
class Good(Picker):
    def pick(self, tokens, kept):
        return Picked(tokens.norms.topk(kept).indices.sort(dim=1).values)
class Unfinished(Method):
    pass
@dataclass(frozen=True)
class Strict(Good):
    _: KW_ONLY
    must: int
"""


def package(folder, name, *entries):
    """Where pip would have put a package with entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[apet.methods]\n" + "\n".join(entries) + "\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package as its own build and pip install it, from a copy, since a build leaves files behind."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=300)
    return folder / "site"


def test_an_installed_method_is_listed_everywhere_and_works(installed):
    code = """
from apet.methods import METHODS, named, rows
from apet.app.options import parse_methods
from apet.app.page.visit import comparable
from apet.evaluation.configurations import DEFAULT_METHODS, plan
assert list(METHODS)[-1] == "center" and "center" in DEFAULT_METHODS and "center" in comparable()
assert rows()[-1].needs == ("places",) and rows()[-1].blind
(_, found), refused = plan(["center"], [4], ["off"], 1, 4)
assert found.built == named("center", 4) and not refused
assert [found.built] == parse_methods("center", "4", None, several=False)
from apet.hf import compressing
from tests.hf.tiny import prompts, tiny_llava
model = tiny_llava()
with compressing(model, named("center", 4)) as session:
    model.generate(**prompts([["i", 5]]), max_new_tokens=2)
assert session.images[0].indices.tolist() == [14, 15, 20, 21]
"""
    run(installed, code)


def test_broken_packages_are_named_and_left_out(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    entries = {
        "apet = json:loads": "a name that is in use; expected a name of its own",
        "no_method = json:loads": "got json:loads; expected a class that derives from apet.methods.Method",
        "absent = nowhere:Own": "ModuleNotFoundError: No module named 'nowhere'; expected a class",
        "APET = json:loads": "a name that is in use; expected a name of its own",
        "a,b = broken:Good": "that name; expected letters, digits",
        "unfinished = broken:Unfinished": "TypeError: Can't instantiate abstract class Unfinished",
        "strict = broken:Strict": "missing 1 required keyword-only argument",
    }
    for number, entry in enumerate(entries):
        package(tmp_path, f"broken{number}", entry)
    package(tmp_path, "zwhole", "whole = broken:Good")
    done = run(tmp_path, "from apet.methods import METHODS; print(*METHODS, METHODS['apet'].__module__)")
    *names, home = done.stdout.split()
    assert "whole" in names
    assert not {"no_method", "absent", "APET", "a,b", "unfinished", "strict"} & set(names)
    assert home.startswith("apet.")
    told = done.stderr.splitlines()
    for number, (entry, message) in enumerate(entries.items()):
        start = f"apet.methods, '{entry.split(' ')[0]}' of broken{number}: got"
        assert [message in line for line in told if start in line] == [True], entry


def test_of_two_packages_with_one_name_the_first_by_name_stays(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN + "class Other(Good): pass\n")
    package(tmp_path, "zebra", "own = broken:Other")
    package(tmp_path, "ant", "own = broken:Good")
    done = run(tmp_path, "from apet.methods import METHODS; print(METHODS['own'].__name__)")
    assert done.stdout.strip() == "Good"
    assert "'own' of zebra: got a name that is in use" in done.stderr
