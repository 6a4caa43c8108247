"""A true mask made wrong, as the mask of an earlier round is: pieces of it grown, shrunk, filled and cut.

Source: the data of Scribble-to-Mask and CascadePSP (Cheng et al., CVPR 2020). Masks are H W bool.
"""

from __future__ import annotations

import numpy as np

from univs.data.warps import opencv

ROUNDS, BOXES = 250, 4
SET = 0.1
"""Share of the boxes whose middle is filled or cut out."""
KERNELS = (3, 9)
"""Smallest and largest side of what grows and shrinks, pixels."""


def perturb(mask: np.ndarray, rng: np.random.Generator, iou: float) -> np.ndarray:
    """A mask that shares less than `iou` with the one given, or what 250 rounds have made of it."""
    made = mask.astype(np.uint8)
    for _ in range(ROUNDS):
        for _ in range(BOXES):
            disturb_box(made, rng)
        union = np.count_nonzero(mask | (made > 0))
        if union == 0 or np.count_nonzero(mask & (made > 0)) / union < iou:
            break
    return made > 0


def disturb_box(mask: np.ndarray, rng: np.random.Generator) -> None:
    """Grow or shrink what lies in a box drawn at random, H W uint8 0 and 1, in place."""
    cv2 = opencv()
    rows, columns = (random_span(rng, length) for length in mask.shape)
    box = mask[rows, columns]
    if rng.random() < SET:
        height, width = box.shape
        box[height // 4 : height - height // 4, width // 4 : width - width // 4] = rng.integers(2)
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    mask[rows, columns] = change(box, random_kernel(rng))


def random_span(rng: np.random.Generator, length: int) -> slice:
    """A piece of an axis, a quarter of it at most."""
    least = min(2, length)
    size = int(rng.integers(least, max(length // 4, least) + 1))
    start = int(rng.integers(0, length - size + 1))
    return slice(start, start + size)


def random_kernel(rng: np.random.Generator, sizes: tuple[int, int] = KERNELS) -> np.ndarray:
    """A rectangle, an ellipse or one half of an ellipse."""
    cv2 = opencv()
    side = int(rng.integers(sizes[0], sizes[1] + 1))
    kind = int(rng.integers(4))
    if kind == 0:
        return np.ones((side, side), np.uint8)
    kernel: np.ndarray = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    if kind == 2:
        kernel[side // 2 + 1 :] = 0
    elif kind == 3:
        kernel[: side // 2] = 0
    return kernel
