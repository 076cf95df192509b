"""What all commands have in common: one line and exit code 2 for every mistake, named as it was typed."""

import errno
import json
import os
import subprocess
import sys

import pytest

import apet
from apet.app import main
from apet.app.command import typed


@pytest.fixture
def apet_says(monkeypatch, capsys):
    """Runs the entry point in this process; gives the exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["apet", *arguments])
        with pytest.raises(SystemExit) as done:
            main.run()
        return done.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), None),
        (("ask",), "apet ask: Missing argument 'PICTURE'."),
        (("akk",), "apet: No such command 'akk'."),
        (("ask", "a.png", "what?", "--foo"), "apet ask: No such option: --foo"),
        (("--verbose",), "apet: Invalid value for --verbose: it goes with --version."),
        (("ask", "", "what?"), "apet ask: Invalid value for PICTURE: it is empty."),
        (("ask", "a.png", ""), "apet ask: Invalid value for QUESTION: it is empty."),
        (("picture", "a.png", ""), "apet picture: Invalid value for PICTURE: it is empty."),
        (("picture", "a.png", "--output", ""), "apet picture: Invalid value for --output: it is empty."),
        (("eval", "--model="), "apet eval: Invalid value for --model: it is empty."),
        (("plan", ""), "apet plan: Invalid value for MODEL: it is empty."),
        (("bench", "ops", "--json", ""), "apet bench ops: Invalid value for --json: it is empty."),
        (("plan", "--batch", "1_0"), "apet plan: Invalid value for --batch: '1_0' is not a whole number."),
        (("plan", "--batch", "٣"), "apet plan: Invalid value for "),
        (("bench", "generate", "--keep", "1_0"), "apet bench generate: Invalid value for --keep: '1_0'"),
        (("ask", "a.png", "what?", "--keep", "1_0"), "apet ask --keep: got '1_0'; expected"),
        (("plan", "--keep", "٣"), "apet plan --keep: got '٣'; expected"),
        (("plan", "--stage2", "1_6:32"), "apet plan --stage2: got '1_6:32'; expected"),
        (("picture", "a.png", "--keep", "64,1_0"), "apet picture --keep: got '1_0'; expected"),
        (("bench", "ops", "--sizes", "5_76x8x4"), "apet bench ops --sizes: got '5_76x8x4'; expected"),
        (("ask", "a.png", "?", "--method", "apet:basis_size=1_0"), "apet ask --method: got basis_size='1_0'"),
        (("ask", "a.png", "?", "--method", "greedy:round=4"), "apet ask --method: got 'greedy:round=4'"),
        (("ask", "a.png", "?", "--method", "full"), "apet ask --method: got 'full'; expected one of apet"),
        (
            ("ask", "a.png", "?", "--keep", "1.5"),
            "apet ask --keep: got keep=1.5; expected an int of at least 1",
        ),
        (("picture", "a.png", "--keep", "0"), "apet picture --keep: got keep=0; expected"),
        (("ask", "a.png", "?", "--tolerance", "5"), "apet ask --tolerance: got tolerance=5.0; expected"),
        (("ask", "a.png", "?", "--stage2", "0:5"), "apet ask --stage2: got layer=0; expected"),
        (("plan", "--stage2", "4:1.5"), "apet plan --stage2: got keep=1.5; expected"),
        (
            ("ask", "a.png", "?", "--stage2", "4:96"),
            "apet ask --stage2: got stage2.keep=96 for ApET; expected",
        ),
        (
            ("ask", "a.png", "?", "--method", "apet:tolerance=5"),
            "apet ask --method: got tolerance=5.0; expected",
        ),
        (
            ("plan", "--size", "99999x1"),
            "apet plan --size: got 99999x1; expected sides that differ by a factor of 50",
        ),
        (("plan", "--size", "0x9"), "apet plan --size: got '0x9'; expected WIDTHxHEIGHT"),
        (("ask", "a.png", "?", "--method", "spred"), "apet ask --method: got 'spred'; expected one of apet"),
        (("plan", "./nowhere"), "apet plan MODEL: got ./nowhere (no such folder); expected"),
        (("eval", "--model", "./nowhere"), "apet eval --model: got ./nowhere (no such folder); expected"),
        (("bench", "generate", "./nowhere"), "apet bench generate MODEL: got ./nowhere (no such folder)"),
        (("ask", "./nowhere.png", "what?"), "apet ask PICTURE: got nowhere.png (no such file); expected"),
        (("picture", "./nowhere.png"), "apet picture PICTURE: got nowhere.png (no such file); expected"),
        (("ask", "ftp://host/a.png", "what?"), "apet ask PICTURE: got ftp://host/a.png; expected a path"),
        (("bench", "generate", "--plot", "."), "apet bench generate --plot: got . (a folder); expected"),
        (("plan", "llava-1.5-7b", "--images", "1000"), "apet plan: got a prompt of 576,064 tokens and 128"),
    ],
)
def test_mistakes_are_one_line(apet_says, arguments, line):
    code, out, err = apet_says(*arguments)
    if line is None:
        assert (code, err) == (0, "")
        assert "picture" in out
        return
    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("ask", "a.png", "?", "--method", "spred"), "did you mean spread?"),
        (("ask", "a.png", "?", "--method", "greedy:round=4"), "did you mean rounds?"),
        (("picture", "a.png", "--method", "Apet_"), "did you mean apet?"),
        (("eval", "--methods", "apet,divprun"), "did you mean divprune?"),
        (("eval", "--tasks", "exist,reed"), "did you mean read?"),
        (("eval", "--tasks", "reed"), "did you mean read?"),
        (("plan", "--device", "h20"), "did you mean h200?"),
        (("plan", "lava-1.5-7b"), "did you mean llava-1.5-7b?"),
        (("ask", "examples/scene.png", "?", "--model", "dinov"), "or dinov2"),
        (("ask", "examples/scene.png", "?", "--model", "embeded"), "the embedded model is taken where none"),
        (("bench", "ops", "--dtype", "float23"), "did you mean float32?"),
        (("reproduce", "paper-table-lava-1.5"), "did you mean paper-table-llava-1.5?"),
        (("reproduce", "paper-table-llava-1.5", "--tasks", "popes"), "did you mean pope?"),
        (("akk",), "Did you mean 'ask'?"),
        (("ask", "a.png", "?", "--kep", "3"), "--keep"),
    ],
)
def test_the_name_that_was_meant_is_told(apet_says, monkeypatch, arguments, near):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = apet_says(*arguments)
    assert (code, out) == (2, "")
    assert near in err
    assert err.count("\n") == 1


def test_numbers_are_as_people_write_them(apet_says):
    code, out, _ = apet_says("plan", "llava-1.5-7b", "--batch", "64", "--device", "RTX 4090")
    assert code == 0
    assert "e+" not in out
    assert "64 requests of 1 picture or clip, 64 text tokens, 128 answer tokens" in out
    rows = {
        line[: line.index("  ")].strip(): line for line in map(str.strip, out.splitlines()) if "  " in line
    }
    assert {"whole answer, ms", "first token, ms"} <= rows.keys()


def test_versions(apet_says):
    assert apet_says("--version") == (0, f"apet {apet.__version__}\n", "")
    code, out, _ = apet_says("--version", "--verbose")
    assert code == 0
    told = {line.split()[0] for line in out.splitlines()}
    assert told >= {"apet", "python", "torch", "transformers", "device:"}


def test_completion(apet_says, monkeypatch):
    monkeypatch.setenv("_APET_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("COMP_WORDS", "apet pi")
    assert apet_says()[1].split() == ["picture"]
    monkeypatch.setenv("COMP_CWORD", "3")
    monkeypatch.setenv("COMP_WORDS", "apet plan --device rt")
    assert apet_says()[1].split() == ["rtx-4090"]


class _Full:
    """Standard output on a full disk, or with nobody to read it."""

    encoding = "utf-8"

    def __init__(self, number):
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))

    def flush(self):
        pass

    def isatty(self):
        return False


@pytest.mark.parametrize(
    "arguments",
    [("plan", "llava-1.5-7b", "--json"), ("plan", "llava-1.5-7b"), ("models",), ("models", "--json")],
)
def test_a_full_disk_is_one_line(apet_says, monkeypatch, arguments):
    monkeypatch.setattr(os, "dup2", lambda *_: 0)  # the file number belongs to the tests
    monkeypatch.setattr(sys, "stdout", _Full(errno.ENOSPC))
    code, _, err = apet_says(*arguments)
    assert (code, err) == (2, f"apet {arguments[0]}: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams(tmp_path, closed):
    """A real process: what is written must end up in no other file."""
    out, err = tmp_path / "out", tmp_path / "err"
    command = f"{sys.executable} -m apet.app.main plan --json >{out} 2>{err} {closed}"
    code = subprocess.run(["sh", "-c", command], timeout=300, check=False).returncode
    if closed == ">&-":
        assert (code, err.read_text()) == (2, "apet plan: Bad file descriptor\n")
    else:
        assert code == 0
        assert out.read_text().startswith("{")


FORKS = """
import json, os, sys
import torch, transformers
import apet.app.main, apet.hf
found = {}
for arguments in json.loads(sys.argv[1]):
    reader, writer = os.pipe()
    os.close(reader)
    said, saying = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(saying, 2)
        sys.argv[1:] = arguments.split()
        apet.app.main.run()
        raise AssertionError("it has not ended")
    os.close(writer)
    os.close(saying)
    with os.fdopen(said) as stream:
        text = stream.read()
    found[arguments] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
print(json.dumps(found))
"""
"""Commands in processes of their own, whose standard output nobody reads; imports are paid for once."""


def test_a_reader_who_leaves_early_gets_no_traceback():
    """The reading end is closed before anything is written, as ``head`` may have done."""
    commands = ["--help", "ask --help", "models", "models --markdown", "plan --json", "--version"]
    command = [sys.executable, "-c", FORKS, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout) == {arguments: [141, ""] for arguments in commands}


def test_outside_of_a_command_there_is_none():
    assert typed("model", "load_model") == "load_model"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "~nobody-here/a.png", "q"],
        ["plan", "~nobody-here/model"],
        ["eval", "--model", "~nobody-here/model"],
        ["plan", "llava-1.5-7b", "--batch", "9" * 400],
        ["eval", "--limit", "9" * 30],
    ],
)
def test_unknown_homes_and_numbers_without_end_are_one_line(apet_says, arguments):
    code, out, err = apet_says(*arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
