"""Picture files are opened with care."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apet.app.files import MOST_PIXELS, check_picture_path, open_picture, save_picture
from apet.core.errors import ApETError


def _png_that_claims(path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def test_a_picture_is_read_as_rgb(tmp_path):
    for mode in ("L", "RGBA", "P", "1", "I;16"):
        Image.new(mode, (9, 5)).save(tmp_path / "p.png")
        assert open_picture(tmp_path / "p.png").mode == "RGB"


def test_transparency_is_seen_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    Image.fromarray(pixels, "RGBA").save(tmp_path / "p.png")
    seen = np.asarray(open_picture(tmp_path / "p.png"))
    assert (seen[:2] == 0).all()
    assert (seen[2:] == 255).all()


def test_sixteen_bits_keep_their_shades(tmp_path):
    Image.fromarray(np.full((4, 4), 20000, np.uint16)).save(tmp_path / "p.png")
    assert (np.asarray(open_picture(tmp_path / "p.png")) == 20000 // 256).all()
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "p.tiff")
    with pytest.raises(ApETError, match="32 bits"):
        open_picture(tmp_path / "p.tiff")


def test_thin_pictures_and_endless_names(tmp_path):
    Image.new("1", (2, 3000)).save(tmp_path / "thin.png")
    with pytest.raises(ApETError, match="factor of 50"):
        open_picture(tmp_path / "thin.png")
    with pytest.raises(ApETError, match="unreadable"):
        open_picture(tmp_path / ("x" * 300))


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (9, 5)).save(tmp_path / "p.jpg", exif=exif)
    assert open_picture(tmp_path / "p.jpg").size == (5, 9)


def test_missing_folder_text_and_empty(tmp_path):
    (tmp_path / "t.png").write_text("not a picture")
    (tmp_path / "e.png").write_bytes(b"")
    for name, words in (
        ("no.png", "no such file"),
        ("", "a folder"),
        ("t.png", "not a picture"),
        ("e.png", "not a picture"),
    ):
        with pytest.raises(ApETError, match=words):
            open_picture(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_truncated_file(tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ApETError, match="damaged or unreadable"):
        open_picture(cut)


def test_decompression_bombs_are_refused_before_decoding(tmp_path):
    _png_that_claims(tmp_path / "bomb.png", 60_000, 60_000)
    with pytest.raises(ApETError, match="pixels"):
        open_picture(tmp_path / "bomb.png")
    _png_that_claims(tmp_path / "large.png", MOST_PIXELS // 1000 + 1, 1000)
    with pytest.raises(ApETError, match="pixels"):
        open_picture(tmp_path / "large.png")


def test_saving_to_nowhere(tmp_path):
    picture = Image.new("RGB", (4, 4))
    for path in (tmp_path / "no" / "p.png", tmp_path / "p.nothing"):
        with pytest.raises(ApETError, match="writable path"):
            save_picture(picture, path, "picture --output")
    check_picture_path(tmp_path / "p.PNG", "ask --picture")
    for name, words in (("no/p.png", "no such folder"), ("p.psd", "ending"), ("p", "ending")):
        with pytest.raises(ApETError, match=words):
            check_picture_path(tmp_path / name, "ask --picture")
