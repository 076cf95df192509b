"""Registering: light, repeatable, and clear about a release that it was not written for."""

import logging
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import apet
from apet.vllm import plugin, registry
from apet.vllm.release import SUPPORTED, problem_with
from apet.vllm.unsupported import UNSUPPORTED


class Registry:
    def __init__(self):
        self.models, self.hooks = {}, {}

    def register_model(self, name, place):
        self.models[name] = place


@pytest.fixture
def fake(monkeypatch):
    """A vLLM of the given version, as far as registering looks at it."""
    monkeypatch.delenv("APET_KEEP", raising=False)

    def install(version="0.32.0"):
        registry = Registry()
        monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(ModelRegistry=registry, __version__=version))
        for name in ("vllm.model_executor", "vllm.model_executor.models"):
            monkeypatch.setitem(sys.modules, name, SimpleNamespace())
        config = SimpleNamespace(MODELS_CONFIG_MAP=registry.hooks, VerifyAndUpdateConfig=object)
        monkeypatch.setitem(sys.modules, "vllm.model_executor.models.config", config)
        return registry

    return install


def test_opting_in_leaves_vllm_s_own_classes_alone(fake):
    registry = fake()
    plugin.register()
    plugin.register()
    assert set(registry.models) == {"ApET" + name for name in plugin.ARCHITECTURES} == set(registry.hooks)


def test_the_environment_takes_over_and_says_so(fake, monkeypatch, caplog):
    registry = fake()
    monkeypatch.setenv("APET_KEEP", "0.25")
    with caplog.at_level(logging.INFO, "vllm.apet"):
        plugin.register()
    for name, place in plugin.ARCHITECTURES.items():
        assert registry.models[name] == registry.models["ApET" + name] == place
        assert name in caplog.text
    assert "APET_KEEP=0.25" in caplog.text


@pytest.mark.parametrize("text", ["0", "1.5", "-3", "many", "nan"])
def test_the_environment_s_budget_is_checked(fake, monkeypatch, text):
    registry = fake()
    monkeypatch.setenv("APET_KEEP", text)
    with pytest.raises(apet.ApETError, match="APET_KEEP"):
        plugin.register()
    assert not registry.models


def test_other_releases_are_refused_where_compression_was_asked_for(fake, monkeypatch, caplog):
    registry = fake("0.33.0")
    plugin.register()
    assert not registry.models
    assert "0.33.0" in caplog.text
    assert ">=0.32,<0.33" in caplog.text
    monkeypatch.setenv("APET_KEEP", "64")
    with pytest.raises(apet.ApETError, match=r"got vLLM 0\.33\.0; expected vLLM >=0\.32,<0\.33"):
        plugin.register()


def test_the_documentation_s_tables_are_the_registry_s():
    page = Path(__file__).parents[2] / "docs" / "serving.md"
    assert registry.table() in page.read_text(encoding="utf-8"), "python -m apet.vllm.registry prints them"
    assert not set(registry.ARCHITECTURES) & set(UNSUPPORTED)


@pytest.mark.parametrize(
    ("release", "good"),
    [
        ("0.32.0", True),
        ("0.32.1", True),
        ("0.32.1rc2", True),
        ("0.31.2", False),
        ("0.33.0", False),
        ("dev", False),
    ],
)
def test_which_releases_are_supported(release, good):
    assert (problem_with(release) is None) == good


def test_the_entry_point_imports_nothing_heavy():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    module, name = project["entry-points"]["vllm.general_plugins"]["apet"].split(":")
    code = (
        f"import sys; from {module} import {name};"
        "print(sorted({'torch', 'transformers', 'vllm', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
    assert project["optional-dependencies"]["vllm"] == [f"vllm{SUPPORTED}"]
