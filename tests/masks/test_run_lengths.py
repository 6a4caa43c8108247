"""Compressed run lengths against pycocotools, which wrote them, and what is no such text."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.masks.run_lengths import (
    BrokenRunsError,
    Runs,
    check_runs,
    decode_counts,
    with_empty_runs,
    without_empty_runs,
)


def runs_of(mask: np.ndarray) -> list[int]:
    """By a loop over the pixels, column by column."""
    runs, inside = [0], False
    for pixel in mask.T.reshape(-1).tolist():
        if pixel != inside:
            runs.append(0)
            inside = pixel
        runs[-1] += 1
    return runs


def code_of(mask: np.ndarray) -> str:
    text: bytes = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return text.decode()


def some_masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    masks = [rng.random((h, w)) < rng.random() for h, w in rng.integers(1, 30, (60, 2))]
    masks += [np.ones((5, 7), bool), np.zeros((5, 7), bool), np.zeros((1, 1), bool), np.ones((1, 1), bool)]
    large = np.zeros((3000, 2000), bool)
    large[7:2990, 3:1990] = True  # numbers of four characters and more
    return [*masks, large]


def test_runs_are_those_that_were_written() -> None:
    masks = some_masks()
    runs = decode_counts([code_of(mask) for mask in masks])
    assert [runs.of(k).tolist() for k in range(len(masks))] == [runs_of(mask) for mask in masks]


def test_the_pixels_inside_are_counted() -> None:
    masks = [mask for mask in some_masks() if mask.size == 35]
    masks += [np.random.default_rng(k).random((5, 7)) < 0.5 for k in range(9)]
    expected = [int(mask.sum()) for mask in masks]
    assert check_runs(decode_counts([code_of(mask) for mask in masks]), 35).tolist() == expected
    assert check_runs(Runs.joined([np.array(runs_of(mask)) for mask in masks]), 35).tolist() == expected


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "are empty"),
        ("b'11'", 'hold "\'"'),
        ("é中", "hold 'é'"),
        ("1中", "hold '中'"),
        ("not rle at all", "hold 't'"),
        ("1\n", "hold '\\n'"),
        ("1P", "are cut off"),
        ("PPPPPPPPPPPPPPPPP0", "longer than any mask"),
    ],
)
def test_what_is_no_compressed_text_is_refused(code: str, why: str) -> None:
    good = code_of(np.eye(6, dtype=bool))
    with pytest.raises(BrokenRunsError) as caught:
        decode_counts([good, good, code, good])
    assert caught.value.place == 2 and why in caught.value.why


def code(*numbers: int) -> str:
    """The characters of numbers as they stand."""
    text = ""
    for number in numbers:
        while True:
            low, number = number & 31, number >> 5
            last = number == (-1 if low & 16 else 0)
            text += chr(48 + low + (0 if last else 32))
            if last:
                break
    return text


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ((3, 4), "add up to 7 pixels"),
        ((3, 4, 29), "add up to 36 pixels"),
        ((3, -4, 36), "a run length is -4"),
        ((3, 40, 2, -50, 40), "a run length is 40"),
        ((0, 2**28, 0, 2**28, 0, 2**28, 0, 2**28), "a run length is"),  # wraps around to 0 in 32 bits
        ((0, *[5] * 3, *[2**28] * 15, 0), "a run length is"),
    ],
)
def test_runs_that_make_no_mask_are_refused(numbers: tuple[int, ...], why: str) -> None:
    good = code_of(np.eye(5, 7, dtype=bool))
    with pytest.raises(BrokenRunsError) as caught:
        check_runs(decode_counts([good, code(*numbers), good]), 35)
    assert caught.value.place == 1 and why in caught.value.why
    with pytest.raises(BrokenRunsError) as caught:
        check_runs(Runs.joined([np.array([35]), np.array([35]), np.array([-5, 40])]), 35)
    assert caught.value.place == 2
    with pytest.raises(BrokenRunsError) as caught:
        check_runs(Runs.joined([np.array([35]), np.array([-5, 40])]), 35)
    assert caught.value.place == 1, "whose runs begin at an odd place"
    with pytest.raises(BrokenRunsError, match="no run lengths"):
        check_runs(Runs.joined([np.array([35]), np.zeros(0, np.int64)]), 35)


def test_empty_runs_are_left_out_without_changing_the_mask() -> None:
    lists = [[0, 35], [3, 0, 2, 30], [5, 0, 0, 0, 5, 25], [3, 4, 28, 0], [0, 0, 35], [35]]
    runs = Runs.joined([np.array(lengths) for lengths in lists])
    assert with_empty_runs(runs).tolist() == [1, 2, 3, 4]
    kept = [without_empty_runs(runs.of(k)).tolist() for k in range(len(lists))]
    assert kept == [[0, 35], [5, 30], [10, 25], [3, 4, 28], [35], [35]]
