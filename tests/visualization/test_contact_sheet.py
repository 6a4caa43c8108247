from __future__ import annotations

import numpy as np
import pytest

from univs.visualization import contact_sheet


def flat(*color: int, height: int = 90, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def test_frames_stand_in_a_grid_in_reading_order() -> None:
    frames = [flat(250, 0, 0), flat(0, 250, 0), flat(0, 0, 250), flat(250, 250, 0), flat(0, 250, 250)]
    page = contact_sheet(frames, columns=2, width=640)
    assert page.shape[1] == 640 and page.dtype == np.uint8
    for row in range(3):
        for column in range(2):
            pixel = page[round((row + 0.5) / 3 * page.shape[0]), round((column + 0.5) / 2 * 640)].tolist()
            number = 2 * row + column
            assert pixel == (frames[number][0, 0].tolist() if number < 5 else [24, 25, 30])


def test_captions_and_title_take_room_of_their_own() -> None:
    frames = [flat(0, 0, 0)] * 4
    bare = contact_sheet(frames, columns=2)
    full = contact_sheet(frames, ["a", "b", "c", "d"], title="film", columns=2)
    assert full.shape[0] > bare.shape[0] + 2 * 14
    assert (full[: full.shape[0] - bare.shape[0]].max(axis=2) > 200).any()  # bright letters at the top


def test_other_proportions_are_fitted_not_stretched() -> None:
    page = contact_sheet([flat(250, 250, 250), flat(250, 250, 250, height=160, width=90)], columns=2, width=640)
    white = (page == 250).all(axis=2)
    left, right = white[:, :320].any(axis=0).sum(), white[:, 320:].any(axis=0).sum()
    assert left > 300 and abs(right - left * (90 / 160) ** 2) < 3


def test_columns_are_chosen_so_that_the_page_is_a_little_wide() -> None:
    for count in (1, 4, 6, 9, 12):
        page = contact_sheet([flat(0, 0, 0, height=27, width=48)] * count)
        assert 0.5 <= page.shape[0] / page.shape[1] <= 1.2, count


def test_wrong_numbers() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 frames but 2 captions"):
        contact_sheet([flat(0, 0, 0)], ["a", "b"])
