from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from univs.masks.geometry import Geometry, short_side


def test_prompts_move_with_the_frame() -> None:
    geometry = Geometry.fit(100, 200, 50)
    assert geometry.shrink_points([(20, 40)]).tolist() == [[10, 20]]
    assert geometry.shrink_box((20, 40, 60, 100)).tolist() == [10, 20, 30, 50]
    mask = np.zeros((100, 200), bool)
    mask[40:60, 20:41] = True
    shrunk = geometry.shrink_masks([mask])
    assert shrunk.shape == (1, 64, 128)
    assert shrunk[0, 20:30, 10:21].min() == 1 and shrunk.sum() == 10 * 11
    dot = np.zeros((100, 200), bool)
    dot[41, 33] = True
    assert geometry.shrink_masks([dot]).nonzero().tolist() == [[0, 20, 16]]


def test_frames_are_shrunk_to_the_input_and_not_padded() -> None:
    frame = np.full((100, 200, 3), 77, np.uint8)
    assert Geometry.fit(100, 200).shrink_frame(frame).shape == (1, 3, 100, 200)
    frame.flags.writeable = False  # as np.asarray of a picture is: torch would warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = Geometry.fit(100, 200, 50).shrink_frame(frame)
    assert small.shape == (1, 3, 50, 100) and small.dtype == torch.uint8 and (small == 77).all()


@pytest.mark.parametrize(
    ("asked", "brought", "expected"),
    [(None, 300, 300), (None, 2000, 2000), (None, 0, 1080), (2000, 300, 2000), (0, 300, 1080)],
)
def test_the_short_side_is_what_was_asked_for_or_the_models(asked: int | None, brought: int, expected: int) -> None:
    assert short_side(asked, brought, 1920, 1080) == short_side(asked, brought, 1080, 1920) == expected


def test_small_frames_are_enlarged_fourfold_at_most() -> None:
    assert [short_side(None, 480, side, 2000) for side in (240, 120, 100, 1)] == [480, 480, 400, 4]
    assert short_side(480, 480, 16, 2000) == 480  # unless that was asked for
