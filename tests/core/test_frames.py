"""Video under an error bound: a still scene costs little, a changing one much."""

from __future__ import annotations

import pytest
import torch

from apet.core import Segment, compress, compress_ragged

BASIS = 4


def counts(frames, whole=False, **options):
    """Kept tokens of every frame, or of the video as one segment."""
    options = {"basis_size": BASIS} | options
    if whole:
        about = [Segment("video", 0, 0, frames.shape[0] * frames.shape[1], frames=frames.shape[0])]
        return [r.num_kept for r in compress_ragged([frames.flatten(0, 1)], about=about, **options)]
    about = [Segment("video", 0, t, frames.shape[1]) for t in range(len(frames))]
    return [r.num_kept for r in compress_ragged(list(frames), about=about, **options)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_still_video_costs_one_frame_and_the_least_of_the_others(draw, dtype):
    frame = draw(40, 16, dtype=dtype)
    still = frame.expand(8, -1, -1)
    one = compress(frame, tolerance=0.1, basis_size=BASIS).num_kept
    assert one > 15
    assert counts(still, tolerance=0.1) == [one] + [BASIS] * 7
    assert counts(still, tolerance=0.1, min_keep=6) == [one] + [6] * 7


def test_as_one_segment_its_length_does_not_matter(draw):
    frame = draw(40, 16)
    one = compress(frame, tolerance=0.1, basis_size=BASIS).num_kept
    for length in (1, 2, 16):
        assert counts(frame.expand(length, -1, -1), whole=True, tolerance=0.1) == [one]


def test_a_shared_bound_does_not_forget_the_frame_that_all_repeat(draw):
    frame = draw(40, 16)
    one = compress(frame, tolerance=0.1, basis_size=BASIS).num_kept
    kept = counts(frame.expand(8, -1, -1), tolerance=0.1, budget="shared")
    # The basis of the later frames is kept as well, and takes nothing from the bound.
    assert kept == [one] + [BASIS] * 7


def test_a_changing_video_costs_every_frame(draw):
    frames = draw(8, 40, 16, shared=0.0)
    alone = [compress(x, tolerance=0.1, basis_size=BASIS).num_kept for x in frames]
    assert counts(frames, tolerance=0.1) == alone
    assert min(alone) > 15
    as_images = [r.num_kept for r in compress_ragged(list(frames), tolerance=0.1, basis_size=BASIS)]
    assert as_images == alone


def test_noise_is_no_change(draw):
    frame = draw(40, 16)
    noisy = frame + 0.02 * draw(8, 40, 16, seed=1, shared=0.0)
    for whole in (False, True):
        still = counts(frame.expand(8, -1, -1), whole=whole, tolerance=0.1)
        assert abs(sum(counts(noisy, whole=whole, tolerance=0.1)) - sum(still)) <= 4


def test_what_changes_is_kept_and_a_scene_starts_anew(draw):
    first, second = draw(40, 16, seed=1), draw(40, 16, seed=2)
    moved = first.clone()
    moved[20:30] = second[20:30]
    frames = torch.stack([first, first, moved, moved, second, second])
    kept = counts(frames, tolerance=0.01)
    whole = [compress(x, tolerance=0.01, basis_size=BASIS).num_kept for x in (first, second)]
    assert (kept[0], kept[1], kept[3], kept[5]) == (whole[0], BASIS, BASIS, BASIS)
    assert BASIS < kept[2] <= BASIS + 10
    assert whole[1] - 10 - BASIS <= kept[4] <= whole[1]


def test_a_shared_total_goes_to_the_frames_that_change(draw):
    still, other = draw(40, 16), draw(2, 40, 16, seed=3)
    frames = torch.cat((still.expand(6, -1, -1), other))
    kept = counts(frames, keep=10, budget="shared")
    assert sum(kept) == 80
    assert kept[1:6] == [BASIS] * 5
    # The first frame stands for six, so its errors weigh most.
    assert kept[0] > max(kept[6:]) >= min(kept[6:]) > BASIS


def test_only_frames_of_one_video_are_compared(draw):
    x = draw(40, 16)
    for about in (
        [Segment("image", 0, 0, 40), Segment("image", 0, 1, 40)],
        [Segment("video", 0, 0, 40), Segment("video", 1, 0, 40)],
        [Segment("video", 0, 0, 40), Segment("video", 0, 2, 40)],
        [Segment("image", 0, 0, 40), Segment("video", 0, 1, 40)],
    ):
        one, two = (r.num_kept for r in compress_ragged([x, x], tolerance=0.1, about=about))
        assert one == two > BASIS


def test_frames_of_two_videos_side_by_side(draw):
    frame = draw(40, 16)
    about = [Segment("video", v, t, 40) for v in range(2) for t in range(3)]
    kept = [r.num_kept for r in compress_ragged([frame] * 6, tolerance=0.1, basis_size=BASIS, about=about)]
    one = compress(frame, tolerance=0.1, basis_size=BASIS).num_kept
    assert kept == [one, BASIS, BASIS] * 2


def test_a_larger_tolerance_never_keeps_more(draw):
    frames = draw(1, 40, 16) + 0.4 * draw(6, 40, 16, seed=1, shared=0.0)
    for budget in ("each", "shared"):
        kept = [sum(counts(frames, tolerance=(t + 0.1) / 50, budget=budget)) for t in range(40)]
        assert kept == sorted(kept, reverse=True)
        assert len(set(kept)) > 10
