"""Scribbles as a person might draw them on what is wrong with a mask, for training.

Source: the data of Scribble-to-Mask (Cheng, Tai and Tang, CVPR 2021, section 3.1): as the robot of DAVIS draws, along
edges, along skeletons, and as curves through random places. Regions and maps are H W bool.
"""

from __future__ import annotations

import numpy as np

from univs.data.mask_noise import random_span
from univs.data.warps import opencv
from univs.interactive.curves import bezier, bresenham
from univs.interactive.robot import skeleton_paths

ROBOT = 0.75
"""Share of the corrective rounds that are drawn as the robot of DAVIS does."""
ROBOT_SHARE = 0.15
"""Of the robot's opening, see `univs.interactive.robot.SHARE`."""
SECOND = 0.3
"""Share of the regions that get a second kind of scribble."""
MORE = 0.3
"""Share of the images with further curves on the object and beside it."""
SAMPLES = 60


def draw_scribbles(
    mask: np.ndarray, before: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Strokes on what was missed and on what is wrongly there: two maps, positive and negative.

    Args:
        mask: the true one.
        before: the mask so far.
        known: where it is known what is right; nothing is drawn elsewhere.
    """
    missed, wrong = mask & ~before & known, before & ~mask & known
    if before.any() and rng.random() < ROBOT:
        positive, negative = (draw_as_robot(region, rng) for region in (missed, wrong))
    else:
        positive, negative = (draw_by_region(region, rng) for region in (missed, wrong))
    if rng.random() < MORE or not (positive.any() or negative.any()):
        count = int(rng.integers(2, 5))
        on = int(rng.binomial(count, 0.5)) if (positive | negative).any() else count
        positive |= draw_curves(mask & known, rng, on, on)
        negative |= draw_curves(~mask & known, rng, count - on, count - on)
    return positive & mask & known, negative & ~mask & known


def draw_as_robot(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A curve through each part of a region, found at half its size, three pixels wide."""
    cv2 = opencv()
    drawn = np.zeros(region.shape, np.uint8)
    for path in skeleton_paths(region[::2, ::2], share=ROBOT_SHARE, seed=int(rng.integers(1 << 31))):
        mark(drawn, 2 * bezier(path.astype(float), SAMPLES))
    return cv2.dilate(drawn, np.ones((3, 3), np.uint8)) > 0


def draw_by_region(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In each connected part of a region a scribble of one kind, perhaps of two; parts that are small get none."""
    cv2 = opencv()
    side = int(rng.integers(5, 20))
    opened = cv2.morphologyEx(
        region.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    )
    count, parts = cv2.connectedComponents(opened)
    drawn = np.zeros(region.shape, bool)
    kinds = (draw_edge, draw_skeleton, draw_some_curves)
    for number in range(1, count):
        part = parts == number
        if np.count_nonzero(part) < rng.integers(10, 100):
            continue
        chosen = rng.permutation(len(kinds))[: 2 if rng.random() < SECOND else 1]
        for kind in chosen:
            drawn |= kinds[int(kind)](part, rng)
    return drawn


def draw_edge(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Along the edge, somewhat inside, with gaps."""
    cv2 = opencv()
    side = int(rng.integers(3, 50))
    inner = cv2.erode(np.pad(region.astype(np.uint8), 1), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))[
        1:-1, 1:-1
    ]
    edge = cv2.morphologyEx(inner, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return with_gaps(edge, rng)


def draw_skeleton(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Along the middle (Zhang and Suen's thinning), three pixels wide, with gaps."""
    from skimage.morphology import skeletonize

    thin = skeletonize(region, method="zhang").astype(np.uint8)
    return with_gaps(opencv().dilate(thin, np.ones((3, 3), np.uint8)), rng)


def draw_some_curves(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The two or three longest of ten curves."""
    return draw_curves(region, rng, 10, int(rng.integers(2, 4)))


def draw_curves(region: np.ndarray, rng: np.random.Generator, tried: int, kept: int) -> np.ndarray:
    """Curves through three random pixels of a region each, three pixels wide, kept near it; the longest of those
    tried."""
    cv2 = opencv()
    drawn = np.zeros(region.shape, bool)
    ys, xs = np.nonzero(region)
    if not len(ys) or kept < 1:
        return drawn
    reach = int(rng.integers(3, 7))
    near = cv2.dilate(region.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    curves = []
    for _ in range(tried):
        at = rng.integers(len(ys), size=3)
        start, middle, end = np.stack([xs[at], ys[at]], 1).astype(float)
        curve = np.zeros(region.shape, np.uint8)
        mark(curve, bezier(np.stack([start, 2 * middle - (start + end) / 2, end]), SAMPLES))
        curves.append((cv2.dilate(curve, np.ones((3, 3), np.uint8)) > 0) & near)
    for curve in sorted(curves, key=np.count_nonzero, reverse=True)[:kept]:
        drawn |= curve
    return drawn


def with_gaps(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is left of lines, H W uint8, after four boxes of them were worn away."""
    cv2 = opencv()
    worn = drawn.copy()
    for _ in range(4):
        rows, columns = (random_span(rng, length) for length in worn.shape)
        side = int(rng.integers(5, 10))
        worn[rows, columns] = cv2.erode(worn[rows, columns], np.ones((side, side), np.uint8))
    return worn > 0


def mark(drawn: np.ndarray, points: np.ndarray) -> None:
    """Join points (x, y) by lines, one pixel wide; what lies beyond the border is left out."""
    height, width = drawn.shape
    pixels = bresenham(np.rint(points).astype(np.int64))
    inside = (pixels >= 0).all(1) & (pixels < (width, height)).all(1)
    drawn[pixels[inside, 1], pixels[inside, 0]] = 1
