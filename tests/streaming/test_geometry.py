from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from univs.streaming.geometry import SHORT_SIDE, Geometry, short_side


@pytest.mark.parametrize(("height", "width"), [(240, 427), (33, 31), (5, 7), (64, 96)])
def test_without_resizing_logits_are_enlarged_as_the_whole_padded_map_would_be(height: int, width: int) -> None:
    geometry = Geometry.fit(height, width)
    torch.manual_seed(0)
    logits = torch.randn(2, geometry.padded[0] // 4, geometry.padded[1] // 4)
    whole = F.interpolate(logits[None], size=geometry.padded, mode="bilinear", align_corners=False)[0]
    ours = geometry.enlarge(logits)
    assert ours.shape == (2, height, width)
    # the last two pixels would lean on cells that hold nothing but padding
    torch.testing.assert_close(ours[:, : height - 2, : width - 2], whole[:, : height - 2, : width - 2])


@pytest.mark.parametrize("short", [32, 100, 37, 480])
@pytest.mark.parametrize(("height", "width"), [(240, 427), (101, 53), (17, 300)])
def test_resized_frames_get_maps_of_their_own_size_in_the_right_place(height: int, width: int, short: int) -> None:
    geometry = Geometry.fit(height, width, short)
    assert min(geometry.input_height, geometry.input_width) == short
    rows = torch.arange(geometry.padded[0] // 4).float()
    ramp = rows[:, None].expand(-1, geometry.padded[1] // 4)
    large = geometry.enlarge(ramp[None])[0]
    assert large.shape == (height, width)
    centres = (torch.arange(height) + 0.5) * geometry.input_height / height / 4 - 0.5
    expected = centres.clamp(0, geometry.cells[0] - 1)
    torch.testing.assert_close(large[:, 0], expected, rtol=1e-4, atol=1e-3)


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
    small = Geometry.fit(100, 200, 50).shrink_frame(frame)
    assert small.shape == (1, 3, 50, 100) and small.dtype == torch.uint8 and (small == 77).all()


@pytest.mark.parametrize(
    ("size", "numbers", "expected"),
    [
        (None, {"rules": "own", "short_side": 300}, 300),
        (None, {"rules": "own"}, SHORT_SIDE),
        (None, {}, SHORT_SIDE),
        (None, {"rules": "official"}, 1080),
        (None, {"rules": "own", "short_side": 2000}, 1080),  # nothing is enlarged unless it was asked for
        (2000, {"short_side": 300}, 2000),
        (0, {"short_side": 300}, 1080),
    ],
)
def test_the_short_side_is_what_was_asked_for_or_the_models(
    size: int | None, numbers: dict[str, object], expected: int
) -> None:
    assert short_side(size, numbers, 1920, 1080) == short_side(size, numbers, 1080, 1920) == expected
