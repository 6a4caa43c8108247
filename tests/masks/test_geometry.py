from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

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


def test_the_three_sizes() -> None:
    for geometry, inner, padded, cells in (
        (Geometry.fit(33, 31), (33, 31), (64, 32), (9, 8)),
        (Geometry.fit(32, 64), (32, 64), (32, 64), (8, 16)),
        (Geometry.fit(200, 100, 50), (100, 50), (128, 64), (25, 13)),
        (Geometry.fit(43, 30, 20), (29, 20), (32, 32), (8, 5)),
        (Geometry.fit(30, 43, 20), (20, 29), (32, 32), (5, 8)),
        (Geometry.fit(40, 60, None, 100), (40, 60), (128, 128), (10, 15)),
        (Geometry.fit(40, 200, None, 100), (40, 200), (128, 224), (10, 50)),
    ):
        assert (geometry.input_height, geometry.input_width) == inner
        assert (geometry.padded, geometry.cells) == (padded, cells)
        assert geometry.resized == (inner != (geometry.height, geometry.width))
    assert Geometry(10, 20, 10, 18).resized and Geometry(10, 20, 9, 20).resized


def test_columns_and_rows_have_factors_of_their_own() -> None:
    geometry = Geometry(10, 20, 5, 8)
    assert geometry.shrink_points([(10, 4)]).tolist() == [[4, 2]]
    assert geometry.shrink_box((10, 4, 20, 10)).tolist() == [4, 2, 8, 5]


def test_a_cell_of_a_mask_is_one_where_half_of_it_is_inside() -> None:
    """Or where it has most of the mask, if no cell is half inside; an empty mask stays empty."""
    geometry = Geometry.fit(40, 40, 10)
    masks = np.zeros((3, 40, 40), bool)
    masks[0, 4:14, 4:15] = True  # the last cells of each direction: 1/2 and 3/4
    masks[1, 21, 4:10] = True  # 1/4 of one cell, 1/8 of the next
    found = geometry.shrink_masks(list(masks))
    assert found.shape == (3, 32, 32)
    wanted = [[y, x] for y in (1, 2, 3) for x in (1, 2, 3) if not (y == 3 and x == 3)]  # the corner: 3/8
    assert found[0].nonzero().tolist() == wanted
    assert found[1].nonzero().tolist() == [[5, 1]] and not found[2].any()


def test_maps_come_back_cut_out_and_enlarged() -> None:
    maps = torch.randn(2, 32, 64, generator=torch.manual_seed(0))
    assert torch.equal(Geometry.fit(20, 45).from_padded(maps), maps[:, :20, :45])
    found = Geometry.fit(40, 90, 20).from_padded(maps)
    wanted = F.interpolate(maps[None, :, :20, :45], size=(40, 90), mode="bilinear", align_corners=False)[0]
    assert torch.equal(found, wanted)


def test_fine_stripes_turn_grey_when_a_frame_is_shrunk() -> None:
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, ::4] = 255
    small = Geometry.fit(40, 80, 10).shrink_frame(frame)[..., 2:-2].int()
    assert int((small - 64).abs().max()) < 10
