"""How ``apet show`` starts and ends, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

COMMAND = [sys.executable, "-m", "apet.app.main", "show"]


@contextmanager
def started(tmp_path, *options):
    """A running page, once it has said where it is."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert "http://127.0.0.1:" in process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_uploads_are_removed_however_it_is_ended(tmp_path, number):
    with started(tmp_path) as process:
        (folder,) = tmp_path.glob("apet-show-*")
        (folder / "photo.png").write_bytes(b"private")
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)  # as impatient people do
        assert process.wait(60) in (0, -number)
        assert process.stderr.read() == ""
        assert not list(tmp_path.glob("apet-show-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_is_loaded_ends_it(tmp_path, number):
    code = (
        "import os, signal, sys, apet.app.loading as loading, apet.app.main as main\n"
        f"loading.load_model = lambda *_, **__: os.kill(os.getpid(), {int(number)})\n"
        "sys.argv = ['apet', 'show', '--port', '0']\n"
        "main.run()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert not list(tmp_path.glob("apet-show-*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nope/nope"), "apet show --model: got nope/nope ("),
        (("--model", "/no/such/folder"), "apet show --model: got /no/such/folder (no such folder)"),
        (("--host", "256.1.1.1"), "apet show --host: got '256.1.1.1' ("),
        (("--host", "nowhere.invalid"), "apet show --host: got 'nowhere.invalid' ("),
        (("--host", "192.0.2.1"), "apet show --host: got '192.0.2.1' ("),
    ],
)
def test_what_cannot_be_served_is_one_line(options, said):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*COMMAND, *options], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"apet show --port: got {port} (Address already in use)")
