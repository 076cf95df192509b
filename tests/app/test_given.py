"""Pictures from addresses and standard input, as hostile as these may be."""

import http.server
import io
import os
import socket
import sys
import threading

import pytest
from PIL import Image

from apet.app import given
from apet.app.frames import open_frames
from apet.app.given import picture_files
from apet.core.errors import ApETError


def _png(size=(8, 6)):
    data = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(data, "PNG")
    return data.getvalue()


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        where = {
            "/away": "file:///etc/passwd",
            "/ftp": "ftp://127.0.0.1/a.png",
            "/on": "/a.png",
            "/loop": "/loop",
        }
        if self.path in where:
            self.send_response(302)
            self.send_header("Location", where[self.path])
            self.end_headers()
        elif self.path == "/none":
            self.send_error(404)
        else:
            body = {"/text": b"<html>", "/large": b"x" * 3000, "/empty": b""}.get(
                self.path.split("?")[0], _png()
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _opened(*names):
    with picture_files(names, "ask PICTURE") as paths:
        return open_frames(paths, operation="ask PICTURE"), paths


def test_a_picture_from_an_address_leaves_no_file(site):
    for path in ("/a.png", "/a?size=2", "/on"):
        (picture,), (copy,) = _opened(site + path)
        assert picture.size == (8, 6)
        assert not copy.exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/none", "404"),
        ("/text", "not a picture"),
        ("/empty", "not a picture"),
        ("/away", "file:"),
        ("/ftp", "ftp"),
        ("/loop", "infinite loop"),
    ],
)
def test_what_an_address_does_not_give(site, path, words):
    with pytest.raises(ApETError) as error:
        _opened(site + path)
    assert site + path in str(error.value)
    assert words in str(error.value)
    assert "/tmp" not in str(error.value)


@pytest.mark.parametrize("name", ["ftp://a/b.png", "file:///etc/passwd", "http://", "http://[bad/a.png"])
def test_what_is_no_address_of_a_picture(name):
    with pytest.raises(ApETError, match="ask PICTURE"):
        _opened(name)


def test_large_and_slow_answers_end(site, monkeypatch):
    monkeypatch.setattr(given, "LARGEST", 2000)
    monkeypatch.setattr(given, "_PIECE", 100)
    with pytest.raises(ApETError, match="at most 2,000 bytes"):
        _opened(site + "/large")
    monkeypatch.setattr(given, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ApETError, match="timed out"):
        _opened(f"http://127.0.0.1:{silent.getsockname()[1]}/a.png")
    monkeypatch.setattr(given, "_LONGEST", -1.0)
    with pytest.raises(ApETError, match="more than"):
        _opened(site + "/a.png")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "nothing on standard input"), (b"text", "standard input (not a picture)"), (_png(), None)],
)
def test_standard_input(monkeypatch, data, words):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    if words is None:
        assert _opened("-")[0][0].size == (8, 6)
        return
    with pytest.raises(ApETError) as error:
        _opened("-")
    assert words in str(error.value)


def test_a_named_pipe(tmp_path):
    """A shell's <(command) is one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(_png(),))
    writer.start()
    assert _opened(str(pipe))[0][0].size == (8, 6)
    writer.join()


def test_one_standard_input_is_one_picture():
    with pytest.raises(ApETError, match="more than once"):
        _opened("-", "-")


def test_a_path_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "a.png").write_bytes(_png())
    assert _opened("http://a.png")[0][0].size == (8, 6)


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (b"\0\0\0\x20ftypisom", ".mp4"),
        (b"\0\0\0\x20ftypavif", ""),
        (b"\x1a\x45\xdf\xa3", ".mkv"),
        (b"RIFF\0\0\0\0AVI ", ".avi"),
        (b"RIFF\0\0\0\0WEBP", ""),
        (_png(), ""),
    ],
)
def test_videos_are_known_by_their_first_bytes(data, ending, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with picture_files(["-"], "ask") as (path,):
        assert path.suffix == ending
        assert path.read_bytes() == data
