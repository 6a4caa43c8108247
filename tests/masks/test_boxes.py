from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from univs.masks.boxes import best_boxes


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("count", [0, 1, 2, 400])
def test_it_is_the_suppression_of_torchvision(count: int, overlap: float) -> None:
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 100, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(0, 40, (count, 2)).astype(np.float32)], 1)
    scores = rng.integers(0, 50, count).astype(np.float32) / 50  # many are equal
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap)
    assert best_boxes(boxes, scores, overlap).tolist() == expected.tolist()


def test_boxes_without_area_take_nobody_with_them() -> None:
    boxes = np.array([[5, 5, 5, 9], [5, 5, 5, 9], [0, 0, 4, 4]], np.float32)
    assert best_boxes(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.5).tolist() == [0, 1, 2]
