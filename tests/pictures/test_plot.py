"""``apet.plot``: what it takes, what it gives, what it refuses."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import apet
from apet import ApETError, plot
from apet.hf.grid import Grid
from apet.pictures.decisions import processed_picture, seen_picture
from apet.pictures.plot import grid_over, read

SQUARE = Image.new("RGB", (56, 56), (90, 120, 200))


def test_one_is_a_row_of_panels_and_several_stand_side_by_side(result_of):
    one = result_of(4, 4, [1, 5], np.linspace(0, 1, 16), [1])
    three = result_of(4, 4, [1, 5, 9], np.linspace(0, 1, 16), [1])
    single, double = plot(SQUARE, one, side=100), plot(SQUARE, one, three, side=100)
    assert single.width > 3 * 100 > double.width > 2 * 100
    assert double.height > 3 * 100 > single.height
    assert plot(SQUARE, one, panels=["kept"], side=100).height < single.height
    assert plot(SQUARE, one, three, labels=["first", "second"], side=100).size == double.size


def test_a_notebook_can_show_it(result_of):
    assert plot(SQUARE, result_of(4, 4, [1]))._repr_png_().startswith(b"\x89PNG")


def test_a_method_without_errors_has_no_heat_map(result_of):
    assert plot(SQUARE, result_of(4, 4, [1]), side=100).width < 3 * 100


def test_pixels_and_plain_compressions():
    tokens = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    found = apet.compress(tokens, keep=3)
    pixels = np.zeros((30, 40, 3), np.uint8)
    assert plot(pixels, found, grid=(3, 4)).mode == "RGB"
    square = apet.compress(tokens[:9], keep=3)
    assert plot(np.zeros((30, 30, 3), np.uint8), square).mode == "RGB"


def test_frames_are_spread_over_the_groups(result_of):
    grids = tuple(Grid(2, 2, 4 * frame, frame=frame) for frame in range(3))
    result = result_of(3, 4, [0, 5], grids=grids, modality="video")
    frames = [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (0, 40, 80, 120, 160, 200)]
    assert plot(frames, result).mode == "RGB"
    shown, (decision,) = read(frames, [result])
    laid = grid_over(shown, decision, 64)
    assert [view.title for view in laid.views] == ["frames 1 and 2", "frames 3 and 4", "frames 5 and 6"]


def test_sampled_frames_are_titled_by_their_number_in_the_video(result_of):
    frames = [Image.new("RGB", (20, 20)) for _ in range(4)]
    for number, frame in zip((0, 4, 8, 12), frames, strict=True):
        frame.info["frame"] = (number + 1, 30)
    for groups, titles in (
        (4, ["frame 1 of 30", "frame 5 of 30", "frame 9 of 30", "frame 13 of 30"]),
        (2, ["frames 1 and 5 of 30", "frames 9 and 13 of 30"]),
        (1, [""]),
    ):
        grids = tuple(Grid(2, 2, 4 * frame, frame=frame) for frame in range(groups))
        result = result_of(groups, 4, [0], grids=grids, modality="video")
        shown, (decision,) = read(frames, [result])
        assert [view.title for view in grid_over(shown, decision, 64).views] == titles


def test_many_budgets_go_on_below_where_they_would_be_too_wide(result_of):
    one = result_of(4, 4, [1, 5], np.linspace(0, 1, 16), [1])
    single, several = plot(SQUARE, one, one, side=360), plot(SQUARE, *[one] * 7, side=360)
    assert several.width <= 1600
    assert several.width == 4 * 360 + 3 * 18 + 2 * 16
    assert single.height * 2 > several.height > single.height * 2 - 32
    wide = plot(SQUARE, one, side=1000)
    assert wide.width < 1600 < 3 * 1000 < wide.height


def test_one_tile_alone_is_drawn_on_its_view(result_of):
    grids = (Grid(2, 2, title="overview"), Grid(2, 4, 4, 5, title="details"))
    result = result_of(2, 2, [0], grids=grids, rows=torch.tensor([4, 5, 9, 10]))
    _, (decision,) = read(SQUARE, [result])
    assert decision.grids == grids[1:]


def test_both_stages_are_told(result_of):
    result = result_of(4, 4, [1, 5, 6])
    later = result_of(4, 4, [5], slots=[0] * 16).stage1
    later = type(later)(
        **{**vars(later), "candidates": torch.tensor([1, 5, 6]), "assignment": torch.zeros(3).long()}
    )
    both = type(result)(**{**vars(result), "stage2": later})
    _, (decision,) = read(SQUARE, [both])
    assert decision.words == "3 of 16 visual tokens, then 1"
    assert np.flatnonzero(decision.kept).tolist() == [5]


def test_what_is_refused(result_of, selection_of):
    good = result_of(4, 4, [1])
    cut = result_of(4, 4, [1], grids=(Grid(4, 4, whole=False),))
    wide = Image.new("RGB", (80, 20))
    video = result_of(2, 2, [1], grids=(Grid(1, 2), Grid(1, 2, 2, frame=1)))
    batched = apet.compress(torch.randn(2, 16, 4), keep=2)
    for arguments, options, words in (
        ((SQUARE, result_of(4, 4, [1], grids=())), {}, "does not tell where they lie"),
        ((SQUARE, result_of(4, 4, [1], grids=(Grid(3, 4),))), {}, "outside of grids"),
        ((SQUARE, selection_of(12)), {}, "does not tell their grid"),
        ((wide, selection_of(16)), {}, "does not tell their grid"),
        ((SQUARE, selection_of(12)), {"grid": (3, 5)}, "grid="),
        ((SQUARE, good), {"grid": (4, 4)}, "plain selection only"),
        ((SQUARE, batched), {}, "a batch of decisions"),
        ((wide, cut), {}, "processor="),
        ((SQUARE, video), {}, "one picture for 2 frames"),
        (("scene.png", good), {}, "of type str"),
        ((np.zeros((4, 4)), good), {}, "of type"),
        ((SQUARE, good), {"panels": ["kept", "heat"]}, "panels="),
        ((SQUARE, good), {"panels": []}, "panels="),
        ((SQUARE, good), {"labels": ["a", "b"]}, "2 labels for 1"),
        ((SQUARE, good), {"side": 8}, "side=8"),
        ((SQUARE, [good, "x"]), {}, "a list of"),
        ((SQUARE, [good, good]), {"image": 3}, "no result of image 3"),
    ):
        with pytest.raises(ApETError, match=words):
            plot(*arguments, **options)


def test_the_seen_picture_undoes_the_normalisation():
    class Processor:
        image_mean, image_std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]

    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    normal = (pixels / 255 - Processor.image_mean) / Processor.image_std
    seen = seen_picture(torch.tensor(normal).permute(2, 0, 1), Processor)
    assert np.array_equal(np.asarray(seen), pixels)


def test_a_cropping_processor_shows_the_middle(result_of):
    pixels = np.zeros((24, 72, 3), np.uint8)
    pixels[:, 24:48] = (10, 200, 90)
    crop = transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=24)
    assert np.abs(np.asarray(processed_picture(Image.fromarray(pixels), crop)) - (10, 200, 90)).max() <= 12
    result = result_of(4, 4, [1], grids=(Grid(4, 4, whole=False),))
    frames, _ = read(Image.fromarray(pixels), [result], processor=crop)
    assert frames[0].size == (24, 24)
