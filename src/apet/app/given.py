"""Pictures as they are named on the command line: paths, addresses on the web, and standard input."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib import request
from urllib.error import HTTPError

from apet.app.files import expanded
from apet.core.errors import ApETError

STDIN = "-"
LARGEST = 200_000_000
"""Most bytes of what is fetched or read from a pipe, which may be a video."""
_PATIENCE = 20.0
"""Seconds without a byte until a server is given up."""
_LONGEST = 120.0
"""Seconds for the whole."""
_PIECE = 1 << 16
_HANDLERS = (
    request.ProxyHandler,
    request.HTTPHandler,
    request.HTTPSHandler,
    request.HTTPDefaultErrorHandler,
    request.HTTPRedirectHandler,
    request.HTTPErrorProcessor,
    request.UnknownHandler,
)
"""All of urllib's but those of files and FTP: a redirect must not lead there."""
_VIDEO_STARTS = {b"\x1a\x45\xdf\xa3": ".mkv", b"\x00\x00\x01\xba": ".mpg"}


@contextmanager
def picture_files(names: Sequence[str], operation: str) -> Iterator[list[Path]]:
    """Files of the given pictures; fetched ones are gone when the block ends.

    Args:
        names: Paths, of pipes as well, ``http://`` and ``https://`` addresses, or ``-`` for standard input.
        operation: What the user called, for errors; those about a file name what was given, not the copy.
    """
    with tempfile.TemporaryDirectory(prefix="apet-") as folder:
        paths, told = [], {}
        for number, name in enumerate(names):
            if name == STDIN and names.count(STDIN) > 1:
                raise ApETError(operation, "- more than once", "one picture from standard input")
            piped = name != STDIN and Path(name).is_fifo()  # as a shell's <(command) is
            if name == STDIN or piped or _scheme(name):
                data = _from_stdin(operation) if name == STDIN else b""
                data = data or (_from_pipe(name, operation) if piped else _fetched(name, operation))
                path = Path(folder) / f"{number}{_ending(data)}"
                path.write_bytes(data)
                told[str(path)] = "standard input" if name == STDIN else name
            else:
                path = expanded(name, operation)
            paths.append(path)
        try:
            yield paths
        except ApETError as error:
            got = error.got
            for copy, name in told.items():
                got = got.replace(copy, name)
            raise ApETError(error.operation, got, error.expected) from error


def _scheme(name: str) -> str:
    """The scheme of an address; empty for a path, and for one that exists in spite of its looks."""
    head, colon, _ = name.partition("://")
    return head.lower() if colon and head.isalnum() and not Path(name).exists() else ""


def _ending(data: bytes) -> str:
    """An ending by which a video is known as one; pictures are known by their contents."""
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis", b"heic", b"mif1"):
        return ".mp4"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return ".avi"
    return _VIDEO_STARTS.get(data[:4], "")


def _from_stdin(operation: str) -> bytes:
    if sys.stdin.isatty():
        raise ApETError(
            operation, "- from a terminal", "a picture in a pipe, such as: cat a.png | apet ask - .."
        )
    data = sys.stdin.buffer.read(LARGEST + 1)
    if not data:
        raise ApETError(operation, "nothing on standard input", "a picture")
    return _checked(data, "standard input", operation)


def _from_pipe(name: str, operation: str) -> bytes:
    with open(name, "rb") as pipe:
        return _checked(pipe.read(LARGEST + 1), name, operation)


def _checked(data: bytes, name: str, operation: str) -> bytes:
    if len(data) > LARGEST:
        raise ApETError(operation, f"{name} (too large)", f"at most {LARGEST:,} bytes")
    return data


def _fetched(address: str, operation: str) -> bytes:
    """What is behind an address; redirects are followed, but not to other schemes."""
    expected = "the address of a picture that can be reached"
    if _scheme(address) not in ("http", "https"):
        raise ApETError(operation, address, "a path, - or an address with http:// or https://")
    opener = request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    end = time.monotonic() + _LONGEST
    pieces: list[bytes] = []
    try:
        # Some servers refuse Python's own name.
        page = request.Request(address, headers={"User-Agent": "apet"})
        with opener.open(page, timeout=_PATIENCE) as answer:
            while piece := answer.read1(_PIECE):
                pieces.append(piece)
                if len(pieces) * _PIECE > LARGEST and sum(map(len, pieces)) > LARGEST:
                    break
                if time.monotonic() > end:
                    raise TimeoutError(f"more than {_LONGEST:.0f} s")
    except (OSError, ValueError, HTTPException) as error:
        reason = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise ApETError(operation, f"{address} ({reason})", expected) from error
    return _checked(b"".join(pieces), address, operation)
