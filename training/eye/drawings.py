"""Writes ``apet/scenes/drawings``: ``python -m training.eye.drawings FOLDER`` of four npm archives.

``npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 @lobehub/fluent-emoji-3d@1.1.0
@iconify-json/noto-v1@1.2.5 @iconify-json/fxemoji@1.2.2`` makes them; ``pip install cairosvg`` draws the last
two.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image

import apet.scenes

SIDE = 64
CODES = {
    "butterfly": "1f98b",
    "dog": "1f415 1f436 1f429",
    "elephant": "1f418",
    "fish": "1f41f 1f420",
    "horse": "1f40e 1f434",
    "owl": "1f989",
    "penguin": "1f427",
    "rabbit": "1f407 1f430",
    "snail": "1f40c",
    "turtle": "1f422",
    "apple": "1f34e 1f34f",
    "banana": "1f34c",
    "burger": "1f354",
    "carrot": "1f955",
    "donut": "1f369",
    "lemon": "1f34b",
    "pineapple": "1f34d",
    "pizza": "1f355",
    "strawberry": "1f353",
    "bicycle": "1f6b2",
    "boat": "26f5 1f6a4",
    "bus": "1f68c 1f68d",
    "car": "1f697 1f698 1f699",
    "helicopter": "1f681",
    "plane": "2708-fe0f 1f6e9-fe0f",
    "tractor": "1f69c",
    "train": "1f686 1f682 1f684",
    "truck": "1f69a 1f69b",
}
"""Code points of every object; the first is its plainest drawing."""
PACKED = {
    "noto": ("emoji-datasource-google-16.0.0.tgz", "package/img/google/64/{}.png", "train"),
    "fluent": ("lobehub-fluent-emoji-3d-1.1.0.tgz", "package/assets/{}.webp", "train"),
    "twemoji": ("emoji-datasource-twitter-16.0.0.tgz", "package/img/twitter/64/{}.png", "test"),
}
VECTOR = {"noto1": "iconify-json-noto-v1-1.2.5.tgz", "fxemoji": "iconify-json-fxemoji-1.2.2.tgz"}
ICONS = {
    "fish": "fish tropical-fish",
    "dog": "dog dog-face dogside",
    "horse": "horse horse-face",
    "rabbit": "rabbit rabbit-face",
    "apple": "red-apple green-apple",
    "burger": "hamburger",
    "donut": "doughnut",
    "pizza": "pizza slice-of-pizza",
    "boat": "sailboat motor-boat speedboat",
    "bus": "bus oncoming-bus",
    "car": "automobile oncoming-automobile sport-utility-vehicle recreationalvehicle",
    "plane": "airplane small-airplane",
    "train": "train locomotive bullet-train steamlocomotive",
    "truck": "delivery-truck articulated-lorry",
}
"""Names of objects in the vector sets, where they are called otherwise; one set leaves the hyphens out."""


def _packed(archive: tarfile.TarFile, pattern: str, code: str) -> Image.Image | None:
    for spelt in (code, code.removesuffix("-fe0f")):
        try:
            member = archive.extractfile(pattern.format(spelt))
        except KeyError:
            continue
        if member is not None:
            return Image.open(io.BytesIO(member.read())).convert("RGBA")
    return None


def _vector(icons: dict[str, Any], icon: str) -> Image.Image | None:
    from cairosvg import svg2png

    found = icons["icons"].get(icon) or icons["icons"].get(icon.replace("-", ""))
    if found is None:
        return None
    side = icons["width"]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">{found["body"]}</svg>'
    png = svg2png(bytestring=svg.encode(), output_width=4 * SIDE, output_height=4 * SIDE)
    return Image.open(io.BytesIO(png)).convert("RGBA")


def _write(picture: Image.Image | None, name: str, style: str, code: str, split: str) -> None:
    if picture is None:
        print(f"{style} has no {name} {code}")
        return
    picture = picture.crop(picture.getchannel("A").getbbox())
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    folder = Path(apet.scenes.__file__).parent / "drawings" / split
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / f"{name}-{style}-{code.removesuffix('-fe0f')}.png", optimize=True)


def main(folder: Path) -> None:
    """Writes one file per drawing."""
    for style, (file, pattern, split) in PACKED.items():
        with tarfile.open(folder / file) as archive:
            for name, codes in CODES.items():
                for code in codes.split()[: 1 if split == "test" else None]:
                    _write(_packed(archive, pattern, code), name, style, code, split)
    for style, file in VECTOR.items():
        with tarfile.open(folder / file) as archive:
            icons = json.load(archive.extractfile("package/icons.json"))  # type: ignore[arg-type]
        for name in CODES:
            for icon in ICONS.get(name, name).split():
                _write(_vector(icons, icon), name, style, icon.replace("-", ""), "train")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
