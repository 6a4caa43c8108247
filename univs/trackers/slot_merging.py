"""From the masks of RVOS's slots to one label map: which slot is whose, and who is in front.

As the official programs make results of DAVIS and YouTube-VOS (the paper leaves it open): slots are resized by nearest
pixels, an object gets its slot on the frame on which it is shown, by how well slots fit its mask there, and where
objects overlap, the one that fitted best counts. Shapes: N slots, h w their size, H W the frame's, K objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from univs.masks.frame_labels import label_type

Masks = NDArray[np.bool_]


def nearest(mask: Masks, size: tuple[int, int]) -> Masks:
    """h w -> H W, each pixel that of the nearest centre; ties and rounding are Pillow's, as the official masks'."""
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask.view(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(bool)


def misfit(mask: Masks, slot: Masks) -> float:
    """1 - IoU of two masks of one size; 0 where both are empty."""
    either = np.count_nonzero(mask | slot)
    return 1 - np.count_nonzero(mask & slot) / either if either else 0.0


def slot_costs(
    ids: Sequence[int], given: Mapping[int, Masks], slots: Sequence[Masks], known: Mapping[int, int]
) -> NDArray[np.float64]:
    """What it costs to give each object each slot: K N.

    Args:
        ids: of the K objects.
        given: id -> H W mask of the objects that are shown on this frame for the first time.
        slots: H W each.
        known: id -> number of the slot that it has already, which costs nothing; every other one costs 1, and so does
            every slot for an object that is neither shown nor known.
    """
    costs = np.ones((len(ids), len(slots)))
    for row, object_id in enumerate(ids):
        if object_id in known:
            costs[row, known[object_id]] = 0
        elif object_id in given:
            costs[row] = [misfit(given[object_id], slot) for slot in slots]
    return costs


def assigned(costs: NDArray[np.float64]) -> list[int]:
    """The slot of each of K objects, each slot given once, for the least sum of costs K N. N must be K at least."""
    from scipy.optimize import linear_sum_assignment  # takes its time to import

    return [int(slot) for slot in linear_sum_assignment(costs)[1]]


def painted(
    masks: Mapping[int, Masks], costs: Mapping[int, float], given: Mapping[int, Masks], size: tuple[int, int]
) -> NDArray[np.integer]:
    """Labels H W of the slots that objects have.

    Args:
        masks: id -> h w mask of its slot.
        costs: id -> `misfit` on the frame on which it was shown; whoever has less is painted over who has more, and of
            equal ones the larger id.
        given: id -> H W masks that are right, and painted last.
        size: H W.
    """
    labels = np.zeros(size, label_type((*masks, *given)))
    for object_id in sorted(masks, key=lambda known: (-costs[known], known)):
        labels[nearest(masks[object_id], size)] = object_id
    for object_id, mask in given.items():
        labels[mask] = object_id
    return labels
