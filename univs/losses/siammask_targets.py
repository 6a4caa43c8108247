"""What the anchors of SiamMask are to say of a crop: which of them hold the object, and how far off they are.

As in SiamRPN (Li et al., CVPR 2018, section 3.3), with the numbers of SiamMask's program. Boxes and anchors: pixels
of the crop. Shapes: A anchors, n cells to a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from univs.models.siammask_anchors import corners

Array = NDArray[np.float64]
POSITIVE, NEGATIVE = 0.6, 0.3
"""IoU with the object above which an anchor holds it, and below which it does not; what lies between is ignored."""
MOST_POSITIVE, SAMPLES = 16, 64
"""So many anchors of a crop hold the object at most; so many count in all."""
PAIR_SAMPLES, PAIR_REACH = 16, 3
"""Where the object is not in the crop: so many anchors count, at most so many cells from the middle."""


@dataclass(frozen=True)
class AnchorTargets:
    """labels: A n n int8, 1 holds the object, 0 does not, -1 ignored. deltas: 4 A n n. weights: A n n of the deltas."""

    labels: NDArray[np.int8]
    deltas: NDArray[np.float32]
    weights: NDArray[np.float32]


def anchor_overlaps(grid: Array, box: Array) -> Array:
    """IoU of anchors, 4 ... centre x, y, width, height, with a box, its four corner coordinates -> ..."""
    left, top, right, bottom = corners(grid)
    width = (np.minimum(right, box[2]) - np.maximum(left, box[0])).clip(0)
    height = (np.minimum(bottom, box[3]) - np.maximum(top, box[1])).clip(0)
    shared = width * height
    united: Array = grid[2] * grid[3] + (box[2] - box[0]) * (box[3] - box[1]) - shared
    return shared / united


def anchor_deltas(grid: Array, box: Array) -> Array:
    """From anchors to a box: offsets in sizes of the anchor, and logs of how much larger it is."""
    x, y, width, height = grid
    target = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    return np.stack(
        [(target[0] - x) / width, (target[1] - y) / height, np.log(target[2] / width), np.log(target[3] / height)]
    )


def anchor_targets(grid: Array, box: Array, draws: np.random.Generator) -> AnchorTargets:
    """Of a crop that holds the object.

    Args:
        grid: 4 A n n (`siammask_anchors.centre_grid`).
        box: left, top, right, bottom.
    """
    overlaps = anchor_overlaps(grid, box)
    labels = np.full(overlaps.shape, -1, np.int8)
    positive = some(np.flatnonzero(overlaps > POSITIVE), MOST_POSITIVE, draws)
    negative = some(np.flatnonzero(overlaps < NEGATIVE), SAMPLES - len(positive), draws)
    labels.flat[positive], labels.flat[negative] = 1, 0
    weights = (labels == 1) / (len(positive) + 1e-6)
    return AnchorTargets(labels, anchor_deltas(grid, box).astype(np.float32), weights.astype(np.float32))


def targets_of_a_pair(grid: Array, draws: np.random.Generator) -> AnchorTargets:
    """Of a crop around something else: some anchors near its middle must not hold it."""
    _, anchors, rows, _ = grid.shape
    labels = np.full((anchors, rows, rows), -1, np.int8)
    reach = np.abs(np.arange(rows) - rows // 2) <= PAIR_REACH
    near = np.broadcast_to(reach[:, None] & reach, labels.shape)
    labels.flat[some(np.flatnonzero(near), PAIR_SAMPLES, draws)] = 0
    return AnchorTargets(labels, np.zeros(grid.shape, np.float32), np.zeros(labels.shape, np.float32))


def some(places: NDArray[np.intp], most: int, draws: np.random.Generator) -> NDArray[np.intp]:
    """At most so many of them, drawn at random."""
    return places if len(places) <= most else draws.choice(places, most, replace=False)
