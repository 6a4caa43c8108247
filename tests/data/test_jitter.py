from __future__ import annotations

import numpy as np
import pytest

from univs.data.jitter import FILL, Jitter, draw_motion, jitter_clip, move
from univs.data.warps import Motion

RIGID = Jitter(scales=(1, 1), rotation=0)


def test_a_whole_frame_is_itself_or_its_mirror_image() -> None:
    """Wider than high: at scale 1 the width fits, and grey lies below."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    labels = rng.integers(0, 9, (2, 30, 40), dtype=np.uint8)
    seen = set()
    for seed in range(8):
        clip = jitter_clip(frames, labels, np.random.default_rng(seed), 40, RIGID)
        seen.add(clip.mirrored)
        step = -1 if clip.mirrored else 1
        assert np.array_equal(clip.frames[:, :30], frames[:, :, ::step])
        assert np.array_equal(clip.labels[:, :30], labels[:, :, ::step])
        assert (clip.frames[:, 30:] == FILL).all() and not clip.labels[:, 30:].any()
    assert seen == {True, False}


def test_a_point_goes_where_flip_turn_scale_and_crop_take_it() -> None:
    """One after the other, for a frame of 60 x 40 pixels."""
    for seed in range(6):
        motion, origin = draw_motion(np.random.default_rng(seed), (5, 40, 60), 32, Jitter())
        turned = np.rad2deg(motion.rotation)
        assert (np.diff(turned) >= 0).all() or (np.diff(turned) <= 0).all()
        assert np.abs(turned).max() <= 15 and len(set(motion.scale)) == 5
        centre = np.array([60 - origin[0] if motion.mirror else origin[0], origin[1]])
        assert (0.4 <= centre / [60, 40]).all() and (centre / [60, 40] <= 0.6).all()
        for t, matrix in enumerate(motion.matrices(origin)):
            scale, angle, point = motion.scale[t], motion.rotation[t], np.array([13.0, 29.0])
            room = np.maximum(scale * np.array([60, 40]) - 32, 0)
            corner = scale * centre - motion.centre[t]
            assert 0.25 <= scale * 60 / 32 <= 4 and (corner > -1e-9).all() and (corner < room + 1e-9).all()
            flipped = np.array([60 - point[0], point[1]]) if motion.mirror else point
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            want = scale * (turn @ (flipped - centre) + centre) - corner
            assert matrix @ [*point, 1] == pytest.approx(want)


def test_crops_of_later_frames_lie_near_the_first() -> None:
    for seed in range(10):
        motion, origin = draw_motion(np.random.default_rng(seed), (6, 50, 50), 25, Jitter((4, 4), 0))
        centre = np.array([50 - origin[0] if motion.mirror else origin[0], origin[1]])
        share = (motion.scale[:, None] * centre - motion.centre) / 75  # room: 4 x 25 - 25 pixels
        assert np.abs(share - share[0]).max() <= 0.1 + 1e-9


def test_what_becomes_smaller_is_meaned() -> None:
    """A chessboard of single pixels is grey at half its size, and labels stay labels."""
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    still = Motion(np.zeros((1, 2)), np.array([0.5]), np.zeros(1), np.ones(1))
    image, labels = move(np.repeat(board[..., None], 3, 2), (board > 0) * np.uint8(7), still.matrices((0, 0))[0], 16)
    assert np.abs(image.astype(int) - 127).max() <= 1 and set(np.unique(labels)) <= {0, 7}
