"""Classes of two maps, counted against a loop, and lists of classes that are one off."""

from __future__ import annotations

import numpy as np
import pytest

from univs.evaluation.metrics.label_spaces import count_classes, off_by_one


def test_pixels_are_counted_by_both_classes() -> None:
    rng = np.random.default_rng(2)
    truth, prediction = rng.integers(0, 7, (9, 11)), rng.integers(0, 5, (9, 11))
    truth[0], prediction[:, 0] = 255, 255
    expected = np.zeros((5, 6), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t < 5:
            expected[t, 5 if p == 255 else p] += 1
    assert count_classes(truth, prediction, 5).tolist() == expected.tolist()
    prediction[truth == 255] = 9
    assert count_classes(truth, prediction, 5).sum() == (truth < 5).sum(), "where nothing is true anything may be said"
    prediction[3, 3] = 9
    truth[3, 3] = 1
    with pytest.raises(ValueError, match="^9$"):
        count_classes(truth, prediction, 5)


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_a_list_that_is_one_off_is_told(shift: int) -> None:
    confusion = np.ones((10, 11), np.int64)
    for k in range(1, 9):
        confusion[k, k + shift] += 20
    assert off_by_one(confusion) == shift


def test_two_classes_taken_for_their_neighbours_are_no_other_list() -> None:
    confusion = np.zeros((10, 11), np.int64)
    confusion[4, 3] = confusion[7, 6] = 9
    assert off_by_one(confusion) == 0
    confusion[5, 4] = 9
    assert off_by_one(confusion) == -1
    for k in (0, 1, 2, 8, 9):
        confusion[k, k] = 1
    assert off_by_one(confusion) == 0, "most classes are right"
    assert off_by_one(np.zeros((10, 11), np.int64)) == 0
