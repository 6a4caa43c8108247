"""Which of many boxes stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def best_boxes(boxes: NDArray[Any], scores: NDArray[Any], overlap: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: a box goes where a better one that stays overlaps it.

    What torchvision's `nms` gives, whose import takes longer than answering a frame.

    Args:
        boxes: N 4 xyxy.
        scores: N; of equal ones the first is the better.
        overlap: IoU beyond which two boxes are of the same thing.
    Returns:
        places of those that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = boxes[order].T
    areas = (x1 - x0) * (y1 - y0)
    stays = np.ones(len(order), bool)
    for place in range(len(order)):
        if not stays[place]:
            continue
        later = slice(place + 1, None)
        width = np.minimum(x1[place], x1[later]) - np.maximum(x0[place], x0[later])
        height = np.minimum(y1[place], y1[later]) - np.maximum(y0[place], y0[later])
        shared = width.clip(min=0) * height.clip(min=0)
        united = areas[place] + areas[later] - shared
        stays[later] &= ~(shared > overlap * united)
    return order[stays]
