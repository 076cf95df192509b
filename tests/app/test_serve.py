"""``apet serve`` becomes vLLM's command."""

import json
import re
import sys

import pytest
from typer.testing import CliRunner

import apet
from apet import embedded
from apet.app import serve
from apet.app.main import app
from apet.app.options import parse_keeps
from apet.installing import install


@pytest.fixture
def folder(tmp_path):
    def make(*architectures):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": architectures}), encoding="utf-8")
        return str(tmp_path)

    return make


def _vllm_is(monkeypatch, found):
    """Whether vLLM is installed; of other packages Python tells as ever."""
    real = serve.util.find_spec
    monkeypatch.setattr(
        serve.util, "find_spec", lambda name, *rest: found if name == "vllm" else real(name, *rest)
    )


def overrides(arguments):
    at = arguments.index("--hf-overrides")
    return json.loads(arguments[at + 1])


def test_without_a_model_it_is_the_embedded_one():
    arguments = serve.arguments_of(64, ["--port", "8001"])
    assert arguments[0] == str(embedded.PATH)
    assert arguments[1:3] == ["--port", "8001"]
    assert arguments[arguments.index("--dtype") + 1] == "float32"
    assert overrides(arguments) == {
        "architectures": ["ApETLlavaForConditionalGeneration"],
        "apet": {"keep": 64},
    }
    assert serve.arguments_of(64, ["--dtype=bfloat16"]).count("--dtype") == 0


def test_vllm_s_options_pass_and_overrides_are_joined(folder):
    name = folder("Qwen2_5_VLForConditionalGeneration")
    given = '{"apet": {"basis": "dpc"}, "vocab_size": 5}'
    for form in (
        ["--hf-overrides", given],
        [f"--hf-overrides={given}"],
        ["--hf-overrides", "{}", "--hf_overrides", given],
    ):
        arguments = serve.arguments_of(0.25, [name, "--tensor-parallel-size", "2", *form])
        assert arguments[:3] == [name, "--tensor-parallel-size", "2"]
        assert arguments[3:5] == ["--middleware", "apet.vllm.http.Middleware"]
        assert len(arguments) == 7
        assert overrides(arguments) == {
            "architectures": ["ApETQwen2_5_VLForConditionalGeneration"],
            "apet": {"basis": "dpc", "keep": 0.25},
            "vocab_size": 5,
        }


def names(arguments):
    assert arguments.count("--served-model-name") == 1
    rest = arguments[arguments.index("--served-model-name") + 1 :]
    return rest[: next(n for n, text in enumerate(rest) if text.startswith("--"))]


def test_budgets_have_names_of_their_own(folder):
    name = folder("LlavaForConditionalGeneration")
    assert names(serve.arguments_of(0.5, [name], [0.25, 64])) == [name, f"{name}@0.25", f"{name}@64"]
    both = ["a", "b", "a@8", "b@8"]
    for given in (["a", "b", "--port", "1"], ["a", "b"]):
        for option in ("--served-model-name", "--served_model_name"):
            assert names(serve.arguments_of(64, [name, option, *given], [8])) == both
    assert names(serve.arguments_of(64, [name, "--served-model-name=a"], [8])) == ["a", "a@8"]
    assert names(serve.arguments_of(64, [], [8])) == ["apet-embedded", "apet-embedded@8"]
    assert "--served-model-name" not in serve.arguments_of(64, [name])


@pytest.mark.parametrize("budgets", ["65", "0.5,0", "many", "32,,16"])
def test_budgets_that_no_request_could_have_are_refused(budgets, monkeypatch):
    _vllm_is(monkeypatch, object())
    done = CliRunner().invoke(app, ["serve", "--keep", "64", "--budgets", budgets])
    assert done.exit_code
    assert "serve --budgets" in str(done.exception)


def test_what_cannot_be_served_is_refused(folder, tmp_path):
    with pytest.raises(apet.ApETError, match="BertModel"):
        serve.arguments_of(64, [folder("BertModel")])
    with pytest.raises(apet.ApETError, match="no architecture"):
        serve.arguments_of(64, [folder()])
    with pytest.raises(apet.ApETError, match="nowhere"):
        serve.arguments_of(64, [str(tmp_path / "nowhere")])
    with pytest.raises(apet.ApETError, match="JSON object"):
        serve.arguments_of(64, ["--hf-overrides", "[1]"])
    with pytest.raises(apet.ApETError, match="serve --keep"):
        serve.arguments_of(1.5, [])


def test_the_command_becomes_the_server(monkeypatch):
    became = []
    _vllm_is(monkeypatch, object())
    monkeypatch.setattr(serve.os, "execv", lambda program, command: became.append((program, command)))
    done = CliRunner().invoke(app, ["serve", "--keep", "0.25", "--port", "8000"])
    assert done.exit_code == 0, done.output
    ((program, command),) = became
    assert program == command[0] == sys.executable
    assert command[1] == "-m"
    assert command[2].startswith("vllm.")
    assert command[command.index("--port") + 1] == "8000"
    assert overrides(command)["apet"] == {"keep": 0.25}


def test_without_vllm_it_says_how_to_get_it(monkeypatch):
    _vllm_is(monkeypatch, None)
    with pytest.raises(apet.ApETError, match=re.escape(install("vllm"))):
        serve.serve(64, [])


def test_another_method_is_asked_for_by_name(folder):
    name = folder("Qwen2_5_VLForConditionalGeneration")
    made = overrides(serve.arguments_of(0.25, [name], method="spread:rounds=4"))["apet"]
    assert made == {"method": "spread", "rounds": 4, "keep": 0.25}
    assert overrides(serve.arguments_of(64, [name], method="apet:merge=no"))["apet"] == {
        "merge": False,
        "keep": 64,
    }
    with pytest.raises(apet.ApETError, match=r"fastv.*told"):
        serve.arguments_of(64, [name], method="fastv")
    with pytest.raises(apet.ApETError, match=r"serve --method: got 'spred'; .*spread"):
        serve.arguments_of(64, [name], method="spred")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--hf-overrides.apet.basis", "dpc"],
            "--hf-overrides.apet.basis; expected all overrides as one JSON",
        ),
        (["--hf_overrides.myfield=7"], "expected all overrides as one JSON"),
        (["--hf-overrides", '{"apet": 5}'], '"apet" as an object'),
        (["--hf-overrides", '{"architectures": 5}'], '"architectures" as a list'),
    ],
)
def test_overrides_that_would_lose_the_budget_are_refused(options, message):
    with pytest.raises(apet.ApETError) as caught:
        serve.arguments_of(64, options)
    assert message in str(caught.value)


def test_one_token_and_all_of_them_are_two_budgets():
    budgets = parse_keeps("1.0,1,48,48")
    assert [(type(one), one) for one in budgets] == [(float, 1.0), (int, 1), (int, 48)]
    arguments = serve.arguments_of(1.0, [], budgets)
    at = arguments.index("--served-model-name") + 1
    assert arguments[at : at + 4] == [f"apet-embedded{end}" for end in ("", "@1.0", "@1", "@48")]
