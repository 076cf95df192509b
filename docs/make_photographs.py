"""Makes the documentation's pictures of photographs, seen by the real eye: ``make photographs``."""

from __future__ import annotations

from pathlib import Path

import skimage
from make_pictures import FOLDER, save
from PIL import Image

import apet
from apet.app.look import look_at
from apet.methods import named

PHOTOGRAPHS = (
    "coffee.png",
    "rocket.jpg",
    "gravel.png",
    "astronaut.png",
    "motorcycle_left.png",
    "chelsea.png",
)
"""Of scikit-image's package; the first three are not among the backgrounds of training."""
PANELS = {
    "apet": ["kept", "error"],
    "greedy": ["kept", "error"],
    "divprune": ["kept"],
    "spread": ["kept", "error"],
}
"""By method; DivPrune computes no errors."""
KEEP = 64


def main() -> None:
    """Writes all of them."""
    model, processor = apet.embedded.load("dinov2")
    rows = []
    for name in PHOTOGRAPHS:
        picture = photograph(name)
        look = look_at(model, processor, picture)
        decided = {method: look.decide(named(method, KEEP)) for method in PANELS}
        rows.append(
            [
                apet.plot(picture, decided[method], labels=[method], panels=panels, side=216)
                for method, panels in PANELS.items()
            ]
        )
    for method in ("apet", "spread"):
        save(apet.plot(picture, decided[method], side=360), method)
    sheet = Image.new("RGB", (sum(one.width for one in rows[0]), rows[0][0].height * len(rows)), "white")
    for number, row in enumerate(rows):
        left = 0
        for drawn in row:
            sheet.paste(drawn, (left, number * row[0].height))
            left += drawn.width
    sheet.save(FOLDER / "photographs.webp", quality=80, method=6)


def photograph(name: str) -> Image.Image:
    """The square in the middle of one of scikit-image's photographs."""
    with Image.open(Path(skimage.__file__).parent / "data" / name) as opened:
        whole = opened.convert("RGB")
    side = min(whole.size)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    return whole.crop((left, top, left + side, top + side))


if __name__ == "__main__":
    main()
