"""Makes the pictures of the documentation with the embedded model: ``make pictures``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import apet
from apet.app.frames import open_frames
from apet.app.look import look_at
from apet.pictures.plot import read
from apet.pictures.ranks import draw_ranks
from apet.scenes import draw, sample_scene, seeded
from apet.scenes.video import draw_clip, sample_clip

FOLDER = Path(__file__).parent / "pictures"
CLIP = FOLDER.parents[1] / "examples" / "clip.webp"
SCENES = (0, 2, 4, 9)
BUDGETS = (64, 128, 192)


def save(image: Image.Image, name: str) -> None:
    """Writes a picture of few colours, chosen so that none is far off, which is half as large."""
    image.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    model, processor = apet.embedded.load()
    sample = Image.open(FOLDER.parents[1] / "examples" / "scene.png").convert("RGB")
    kept = look_at(model, processor, sample).decide(apet.ApET(BUDGETS[0]))
    save(apet.plot(sample, kept, panels=["kept", "error"]), "../kept")
    for number, index in enumerate(SCENES, start=1):
        picture = Image.fromarray(draw(sample_scene(seeded("test", index))))
        look = look_at(model, processor, picture)
        decided = [look.decide(apet.ApET(budget)) for budget in BUDGETS]
        save(apet.plot(picture, *decided, panels=["kept"], side=288), f"scene-{number}")
        if number == 2:
            save(apet.plot(picture, decided[0], side=384), "method")
            _, (decision,) = read(picture, decided[:1])
            save(draw_ranks(decision, (760, 280)), "ranks")
            others = [decided[0], look.decide(apet.Random(BUDGETS[0]))]
            save(apet.plot(picture, *others, labels=["apet", "random"], panels=["kept"], side=384), "random")
    first, *more = [Image.fromarray(frame) for frame in draw_clip(sample_clip(seeded("test", 0)))]
    first.save(CLIP, save_all=True, append_images=more, duration=250, quality=80)
    frames = open_frames([CLIP])
    shown = look_at(model, processor, frames).decide(apet.ApET(BUDGETS[0]))
    save(apet.plot(frames, shown, panels=["kept"], side=384), "clip")


if __name__ == "__main__":
    main()
