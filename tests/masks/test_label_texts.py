"""Label maps as texts of run lengths, against masks that pycocotools draws one by one."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.masks.label_texts import label_texts, labels_of_texts
from univs.masks.run_lengths import BrokenRunsError


def blobs(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Rectangles of random ids on each other, 255 among them."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.uint8)
    for number in (*rng.choice(np.arange(1, 255), 12, replace=False), 255):
        y, x = rng.integers(size[0]), rng.integers(size[1])
        labels[y : y + rng.integers(1, 30), x : x + rng.integers(1, 30)] = number
    return labels


@pytest.mark.parametrize("size", [(37, 53), (53, 37), (1, 40), (40, 1), (1, 1)])
def test_what_is_written_comes_back(size: tuple[int, int]) -> None:
    for seed in range(10):
        labels = blobs(seed, size)
        texts = label_texts(labels)
        assert list(texts) == [i for i in np.unique(labels).tolist() if i]
        for number, counts in texts.items():
            drawn = rle_tools.decode({"size": list(size), "counts": counts})
            np.testing.assert_array_equal(drawn, labels == number)
        found = labels_of_texts(texts, size)
        assert found.dtype == np.uint8 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("number", [0, 1, 254, 255])
def test_maps_of_one_value(number: int) -> None:
    labels = np.full((6, 9), number, np.uint8)
    texts = label_texts(labels)
    assert len(texts) == (number > 0)
    np.testing.assert_array_equal(labels_of_texts(texts, (6, 9)), labels)


def test_texts_of_another_size_are_refused() -> None:
    texts = label_texts(blobs(0, (37, 53)))
    with pytest.raises(BrokenRunsError, match="add up to 1961 pixels"):
        labels_of_texts(texts, (37, 54))
    with pytest.raises(BrokenRunsError, match="hold '!'"):
        labels_of_texts({1: "!"}, (37, 54))
