"""Makes the pictures of the gallery that no other page has, with the embedded model: ``make pictures``."""

from __future__ import annotations

import numpy as np
from make_pictures import save
from PIL import Image
from skimage import data

import apet
from apet.app.look import look_at
from apet.methods import named
from apet.scenes import draw, sample_scene, seeded
from apet.scenes.charts import draw_chart, sample_chart
from apet.scenes.forms import draw_form, sample_form

METHODS = ("apet", "greedy", "divprune", "tome", "grid", "random")


def main() -> None:
    """Writes all of them."""
    model, processor = apet.embedded.load()
    scene = Image.fromarray(draw(sample_scene(seeded("test", 4))))
    look = look_at(model, processor, scene)
    for number in range(0, len(METHODS), 3):
        names = METHODS[number : number + 3]
        decided = [look.decide(named(name, 64)) for name in names]
        save(
            apet.plot(scene, *decided, labels=names, panels=["kept"], side=288), f"methods-{number // 3 + 1}"
        )
    others = {
        "chart": draw_chart(sample_chart(seeded("test", 3))),
        "form": draw_form(sample_form(seeded("test", 3))),
        "coffee": np.array(data.coffee()),
        "cat": np.array(data.chelsea()),
    }
    for name, pixels in others.items():
        picture = Image.fromarray(pixels).convert("RGB")
        kept = look_at(model, processor, picture).decide(apet.ApET(64))
        save(apet.plot(picture, kept, processor=processor, side=288), f"gallery-{name}")
    empty = Image.new("RGB", scene.size, "white")
    for name, picture in (("empty", empty), ("scene", scene)):
        shares = (0.2, 0.3, 0.4)
        seen = look_at(model, processor, picture)
        decided = [seen.decide(apet.ApET(tolerance=share)) for share in shares]
        labels = [f"tolerance {share}" for share in shares]
        save(apet.plot(picture, *decided, labels=labels, panels=["kept"], side=288), f"tolerance-{name}")


if __name__ == "__main__":
    main()
