"""The DAVIS measures of a segmented video: region similarity J and contour accuracy F.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016;
the conventions at the edges (empty masks, the last row and column, quarters) are those of the official tools
(fperazzi/davis, davisvideochallenge/davis2017-evaluation), with which the figures agree to rounding.

Masks are boolean H x W, label maps integer H x W with 0 for background; figures are fractions 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.masks.meanings import IGNORE

BoolMask = NDArray[np.bool_]


def jaccard(prediction: BoolMask, truth: BoolMask) -> float:
    """Intersection over union of two masks (H x W bool); 1 where both are empty. Raises ValueError on unequal sizes."""
    _check_sizes(prediction, truth)
    union = int(np.count_nonzero(prediction | truth))
    return 1.0 if union == 0 else int(np.count_nonzero(prediction & truth)) / union


def boundary_f(prediction: BoolMask, truth: BoolMask, bound_threshold: float = 0.008) -> float:
    """F-measure of the outlines of two masks (H x W bool), both found within a tolerance of each other.

    The tolerance is a radius in pixels (`tolerance_radius`): precision is the share of the predicted outline that lies
    in the true one dilated with a disk of that radius, recall the other way round. No outline in either: 1. An outline
    in only one: 0. Raises ValueError on unequal sizes.
    """
    _check_sizes(prediction, truth)
    radius = tolerance_radius(truth.shape, bound_threshold)
    part = window(prediction | truth)
    return Outline.of(prediction[part], radius).f_measure(Outline.of(truth[part], radius))


def tolerance_radius(size: Sequence[int], bound_threshold: float = 0.008) -> float:
    """`bound_threshold` times the diagonal of an image (height, width), rounded up; itself, if it is at least 1."""
    return bound_threshold if bound_threshold >= 1 else float(np.ceil(bound_threshold * np.linalg.norm(size)))


def measure_objects(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], numbers: Sequence[int]
) -> NDArray[np.float64]:
    """J and F of N objects by their ids on two label maps (H x W): 2 x N. Raises ValueError on unequal sizes."""
    _check_sizes(prediction, truth)
    figures = np.zeros((2, len(numbers)))
    radius = tolerance_radius(truth.shape)
    part = window((prediction | truth) != 0)
    prediction, truth = prediction[part], truth[part]
    for k, number in enumerate(numbers):
        shown, true = prediction == number, truth == number
        inner = window(shown | true)
        shown, true = shown[inner], true[inner]
        figures[:, k] = jaccard(shown, true), Outline.of(shown, radius).f_measure(Outline.of(true, radius))
    return figures


def measure_pairs(predictions: Sequence[BoolMask], truths: Sequence[BoolMask]) -> NDArray[np.float64]:
    """J and F of every one of N predicted with every one of M true masks (H x W bool): 2 x N x M."""
    figures = np.zeros((2, len(predictions), len(truths)))
    if figures.size:
        radius = tolerance_radius(truths[0].shape)
        part = window(np.logical_or.reduce([*predictions, *truths]))
        predictions, truths = [mask[part] for mask in predictions], [mask[part] for mask in truths]
        predicted, true = ([Outline.of(mask, radius) for mask in masks] for masks in (predictions, truths))
        for n, m in np.ndindex(*figures.shape[1:]):
            figures[:, n, m] = jaccard(predictions[n], truths[m]), predicted[n].f_measure(true[m])
    return figures


@dataclass(frozen=True)
class Outline:
    """The outline of a mask and all that is near it, as one long number each: a bit for every pixel, row after row.

    Numbers are shifted and compared as a whole, many pixels to a step. Behind every row there is a margin of the
    radius, so that what is shifted out of one row does not reach the next.
    """

    pixels: int
    near: int

    @classmethod
    def of(cls, mask: BoolMask, radius: float) -> Outline:
        """The outline of a mask (H x W bool, or a window of it) dilated with a disk of that radius in pixels."""
        height, width = mask.shape
        stride = width + int(radius)
        rows = np.zeros((height, stride), bool)
        rows[:, :width] = boundary_map(mask)
        pixels = int.from_bytes(np.packbits(rows, bitorder="little").tobytes(), "little")
        return cls(pixels, _dilate(pixels, stride, radius) if pixels else 0)

    def f_measure(self, truth: Outline) -> float:
        """F of this as the prediction; both must come from masks of one size, with one radius."""
        if not self.pixels or not truth.pixels:
            return float(self.pixels == truth.pixels)
        precision = (self.pixels & truth.near).bit_count() / self.pixels.bit_count()
        recall = (truth.pixels & self.near).bit_count() / truth.pixels.bit_count()
        return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def boundary_map(mask: BoolMask) -> BoolMask:
    """The outline of a mask, both H x W bool.

    A pixel is on the outline if it differs from its right, its lower or its lower right neighbour. The last row looks
    right only, the last column down only, the last corner nowhere: so there is no outline along an edge of the image.
    """
    outline = np.zeros(mask.shape, bool)
    outline[:, :-1] = mask[:, :-1] != mask[:, 1:]
    outline[:-1] |= mask[:-1] != mask[1:]
    outline[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return outline


def window(mask: BoolMask) -> tuple[slice, slice]:
    """Rows and columns of a mask (H x W bool) that hold all that is set and, within the image, a rim of one pixel.

    Outside of it there is neither mask nor outline; what is measured in it is what is measured in the image.
    """
    rows = np.flatnonzero(mask.any(1))
    if len(rows) == 0:
        return slice(0, 1), slice(0, 1)
    high = slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2)
    columns = np.flatnonzero(mask[high].any(0))
    return high, slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2)


def _dilate(pixels: int, stride: int, radius: float) -> int:
    """Dilation with a disk: a stack of rows, of which the one dy away reaches sqrt(radius^2 - dy^2) to either side."""
    near, spread, reach = 0, pixels, 0
    for dy in range(int(radius), -1, -1):
        side = int(np.sqrt(radius * radius - dy * dy))
        while reach < side:
            step = min(side - reach, reach + 1)
            spread |= (spread << step) | (spread >> step)
            reach += step
        near |= (spread << dy * stride) | (spread >> dy * stride)
    return near


class Statistics(NamedTuple):
    """Mean over the frames, share of the frames above 0.5, and loss from the first to the last quarter of the video."""

    mean: float
    recall: float
    decay: float


def summarize(per_frame: Sequence[float] | NDArray[np.float64]) -> Statistics:
    """Statistics of one object's figures over the evaluated frames of a video; NaN where there is no figure to average.

    Neighbouring quarters share a frame, as in the official tool (whose frame numbers are 8 bits wide and overflow
    beyond 256 frames; ours do not).
    """
    values = np.asarray(per_frame, np.float64)
    if len(values) == 0:
        return Statistics(float("nan"), float("nan"), float("nan"))
    cuts = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[cuts[0] : cuts[1] + 1], values[cuts[3] : cuts[4] + 1]
    return Statistics(known_mean(values), float(np.mean(values > 0.5)), known_mean(first) - known_mean(last))


@dataclass(frozen=True)
class ObjectScore:
    """The figures of one object in one video, frame by frame; NaN on frames that are not evaluated."""

    jaccards: tuple[float, ...]
    boundaries: tuple[float, ...]

    @property
    def j(self) -> Statistics:
        """Region similarity over the evaluated frames."""
        return summarize([value for value in self.jaccards if value == value])

    @property
    def f(self) -> Statistics:
        """Contour accuracy over the evaluated frames."""
        return summarize([value for value in self.boundaries if value == value])


class SemiSupervised:
    """Scores one video whose first true masks were given: feed its frames in order, then ask for the scores.

    Objects are the ids 1 to the highest one on the first true label map, as in DAVIS-2017, or those that `objects`
    names; `merge=True` makes one object of everything that is labelled, as in DAVIS-2016 (whose masks are stored as 0
    and 255). The first and the last frame are not evaluated. Label 255 is otherwise no object, but background.
    """

    def __init__(self, merge: bool = False, objects: Iterable[int] | None = None) -> None:
        self.merge = merge
        self._named = None if objects is None else sorted(objects)
        self._objects: list[int] = []
        self._figures: list[NDArray[np.float64]] = []  # of each frame, 2 N

    def update(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Takes the next frame: two label maps (H x W). Raises ValueError if their sizes differ."""
        _check_sizes(prediction, truth)
        if self.merge:
            prediction, truth = (prediction != 0).astype(np.uint8), (truth != 0).astype(np.uint8)
        if self._figures:
            self._figures.append(measure_objects(prediction, truth, self._objects))
        else:
            count = 1 if self.merge else int(truth[truth != IGNORE].max(initial=0))
            self._objects = list(range(1, count + 1)) if self._named is None else self._named
            self._figures.append(np.full((2, len(self._objects)), np.nan))

    def compute(self) -> dict[int, ObjectScore]:
        """Scores of the objects by id, the frame fed last left out."""
        if not self._objects:
            return {}
        figures = np.stack([*self._figures[:-1], np.full_like(self._figures[0], np.nan)], 2)  # 2 N T
        return {number: ObjectScore(*map(tuple, figures[:, k].tolist())) for k, number in enumerate(self._objects)}


def known_mean(values: NDArray[np.float64]) -> float:
    """Mean of those that are no NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _check_sizes(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise ValueError(f"masks must be H x W and of one size, not {prediction.shape} and {truth.shape}")
