"""A robot that corrects masks as a person would: scribbles through what is wrong, or clicks in the middle of it.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", section 3 (scribbles); clicks in the
middle of the largest wrong region are usual since Xu et al., "Deep Interactive Object Selection", CVPR 2016.

Shapes: H W pixels of a frame; paths are P x 2, (x, y) in 0..1 of the frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from univs.interactive.curves import Points, bezier
from univs.interactive.interactions import Click

BoolMask = NDArray[np.bool_]
SHARE, LARGEST = 0.2, 16.0
"""What is cut off before a skeleton is taken: discs whose diameter is that share of a region's side, radius at most."""
SMALLER = 0.9
"""By what the radius shrinks until something is left."""
FEWEST = 4
"""Pixels of a skeleton; shorter ones are left out."""
SAMPLES = 1000
"""Points of a scribble."""


@dataclass(frozen=True)
class RobotScribble:
    """A line along an object (0: the background), P x 2 in 0..1 of the frame."""

    object_id: int
    path: Points


def robot_scribbles(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    object_ids: Iterable[int],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> list[RobotScribble]:
    """Scribbles on a frame, one through each wrong region of each object and of the background (object 0).

    Args:
        truth, prediction: H W labels.
        object_ids: of the objects; the background is looked at as well, and first.
        seed: of the order in which the skeleton takes pixels that are equally far from the edge.
        samples: points of each path.
    """
    height, width = truth.shape
    scribbles = []
    for number in (0, *object_ids):
        for path in skeleton_paths((truth == number) & (prediction != number), seed=seed):
            curve = bezier(path.astype(float), samples)
            scribbles.append(RobotScribble(number, curve / (width, height)))
    return scribbles


def skeleton_paths(region: BoolMask, *, share: float = SHARE, seed: int = 0) -> list[NDArray[np.int64]]:
    """The longest path through the skeleton of each connected part of a region, P x 2 pixels (x, y) each."""
    opened = opening(region, share)
    if not opened.any():
        return []
    from skimage.morphology import medial_axis

    skeleton = medial_axis(opened, rng=np.random.default_rng(seed))
    return longest_paths(skeleton)


def opening(region: BoolMask, share: float = SHARE) -> BoolMask:
    """A region without what is thinner than a disc, H W; the disc shrinks until something is left of it."""
    area = int(region.sum())
    radius = min(share * np.sqrt(area) / 2, LARGEST)
    while area:
        opened = _opened(region, radius)
        if opened.any():
            return opened
        radius *= SMALLER
    return region


def _opened(region: BoolMask, radius: float) -> BoolMask:
    """Erosion and dilation with a disc, by distances; beyond the border there is nothing to erode from."""
    from scipy.ndimage import distance_transform_edt

    if region.all():
        return region
    eroded = distance_transform_edt(region) > radius
    return distance_transform_edt(~eroded) <= radius if eroded.any() else eroded


def longest_paths(skeleton: BoolMask) -> list[NDArray[np.int64]]:
    """For each connected part (8 neighbours) of a skeleton the longest path in it, P x 2 pixels (x, y).

    A part with cycles becomes a tree: each cycle is cut at its longest step. Parts of fewer than `FEWEST` pixels are
    left out.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    ys, xs = np.nonzero(skeleton)
    places = np.full(skeleton.shape, -1)
    places[ys, xs] = np.arange(len(ys))
    padded = np.pad(places, 1, constant_values=-1)
    rows, columns, lengths = [], [], []
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = padded[ys + 1 + dy, xs + 1 + dx]
        there = np.flatnonzero(other >= 0)
        rows.append(there)
        columns.append(other[there])
        lengths.append(np.full(len(there), np.hypot(dy, dx)))
    size = (len(ys), len(ys))
    steps = csr_matrix((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), size)
    tree = minimum_spanning_tree(steps)
    _, parts = connected_components(tree, directed=False)
    paths = []
    for part in range(parts.max(initial=-1) + 1):
        members = np.flatnonzero(parts == part)
        if len(members) >= FEWEST:
            path = members[_diameter(tree[members][:, members])]
            paths.append(np.stack([xs[path], ys[path]], 1).astype(np.int64))
    return paths


def _diameter(tree: object) -> list[int]:
    """The nodes of the longest path in a tree: from the node that is furthest from any to the one furthest from it."""
    from scipy.sparse.csgraph import dijkstra

    first = int(np.argmax(dijkstra(tree, directed=False, indices=0)))
    distances, before = dijkstra(tree, directed=False, indices=first, return_predecessors=True)
    path = [int(np.argmax(distances))]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    return path


def robot_click(truth: BoolMask, prediction: BoolMask) -> Click | None:
    """A click in the middle of the largest wrong region of one object; None where nothing is wrong.

    truth, prediction: H W. The click is positive where the object was missed, and lies on the pixel of the region that
    is furthest from its edge and from the frame's.
    """
    from scipy.ndimage import distance_transform_edt, label

    best: tuple[int, bool, BoolMask] | None = None
    for positive, wrong in ((True, truth & ~prediction), (False, prediction & ~truth)):
        parts, count = label(wrong)
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            if best is None or sizes.max() > best[0]:
                best = int(sizes.max()), positive, parts == 1 + int(sizes.argmax())
    if best is None:
        return None
    _, positive, region = best
    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return Click(float(x), float(y), positive)
