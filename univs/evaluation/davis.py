"""The DAVIS measures of a segmented video: region similarity J and contour accuracy F.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016;
the conventions at the edges (empty masks, the last row and column, quarters) are those of the official tools
(fperazzi/davis, davisvideochallenge/davis2017-evaluation), with which the figures agree to rounding.

Masks are boolean H x W, label maps integer H x W with 0 for background; figures are fractions 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

BoolMask = NDArray[np.bool_]
IGNORE = 255


def jaccard(prediction: BoolMask, truth: BoolMask) -> float:
    """Intersection over union of two masks (H x W bool); 1 where both are empty. Raises ValueError on unequal sizes."""
    _check_sizes(prediction, truth)
    union = int(np.count_nonzero(prediction | truth))
    return 1.0 if union == 0 else int(np.count_nonzero(prediction & truth)) / union


def boundary_f(prediction: BoolMask, truth: BoolMask, bound_threshold: float = 0.008) -> float:
    """F-measure of the outlines of two masks (H x W bool), both found within a tolerance of each other.

    The tolerance is a radius in pixels: `bound_threshold` times the diagonal of the image, rounded up (itself, if it is
    at least 1). The official tool dilates each outline with a disk of that radius and counts the pixels of the other
    one inside it; asking for the distance to the nearest pixel of the other outline is the same and far quicker.
    No outline in either: 1. An outline in only one: 0. Raises ValueError on unequal sizes.
    """
    _check_sizes(prediction, truth)
    radius = bound_threshold if bound_threshold >= 1 else float(np.ceil(bound_threshold * np.linalg.norm(truth.shape)))
    predicted, true = boundary_pixels(prediction), boundary_pixels(truth)
    if len(predicted) == 0 or len(true) == 0:
        return float(len(predicted) == len(true))
    precision = _share_within(predicted, true, radius)
    recall = _share_within(true, predicted, radius)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def measure(prediction: BoolMask, truth: BoolMask) -> tuple[float, float]:
    """J and F of two masks (H x W bool)."""
    return jaccard(prediction, truth), boundary_f(prediction, truth)


def boundary_pixels(mask: BoolMask) -> NDArray[np.intp]:
    """(y, x) of the pixels on the outline of a mask (H x W bool), M x 2.

    A pixel is on the outline if it differs from its right, its lower or its lower right neighbour. The last row looks
    right only, the last column down only, the last corner nowhere: so there is no outline along an edge of the image.
    """
    outline = np.zeros(mask.shape, bool)
    outline[:, :-1] = mask[:, :-1] != mask[:, 1:]
    outline[:-1] |= mask[:-1] != mask[1:]
    outline[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return np.argwhere(outline)


@dataclass(frozen=True)
class Statistics:
    """Mean over the frames, share of the frames above 0.5, and loss from the first to the last quarter of the video."""

    mean: float
    recall: float
    decay: float

    @property
    def parts(self) -> tuple[float, float, float]:
        """Mean, recall, decay."""
        return self.mean, self.recall, self.decay


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
    return Statistics(_mean(values), float(np.mean(values > 0.5)), _mean(first) - _mean(last))


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

    @property
    def j_and_f(self) -> float:
        """Mean of the two means."""
        return (self.j.mean + self.f.mean) / 2


class SemiSupervised:
    """Scores one video whose first true masks were given: feed its frames in order, then ask for the scores.

    Objects are the ids 1 to the highest one on the first true label map, as in DAVIS-2017; `merge=True` makes one
    object of everything that is labelled, as in DAVIS-2016 (whose masks are stored as 0 and 255). The first and the
    last frame are not evaluated. Label 255 is otherwise no object, but background.
    """

    def __init__(self, merge: bool = False) -> None:
        self.merge = merge
        self._objects: list[int] | None = None
        self._figures: list[list[tuple[float, float]]] = []

    def update(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Takes the next frame: two label maps (H x W). Raises ValueError if their sizes differ."""
        _check_sizes(prediction, truth)
        if self.merge:
            prediction, truth = (prediction != 0).astype(np.uint8), (truth != 0).astype(np.uint8)
        if self._objects is None:
            self._objects = [1] if self.merge else list(range(1, 1 + max(_ids(truth), default=0)))
            self._figures.append([(float("nan"), float("nan"))] * len(self._objects))
            return
        pairs = [(prediction == number, truth == number) for number in self._objects]
        self._figures.append([(jaccard(*pair), boundary_f(*pair)) for pair in pairs])

    def compute(self) -> dict[int, ObjectScore]:
        """Scores of the objects by id, the frame fed last left out."""
        if not self._objects:
            return {}
        nothing = (float("nan"), float("nan"))
        rows = self._figures[:-1] + [[nothing] * len(self._objects)] if len(self._figures) > 1 else self._figures
        by_object = zip(self._objects, zip(*rows, strict=True), strict=True)
        return {
            number: ObjectScore(tuple(j for j, _ in figures), tuple(f for _, f in figures))
            for number, figures in by_object
        }


def _ids(labels: NDArray[np.integer]) -> Iterable[int]:
    return [int(number) for number in np.unique(labels) if number not in (0, IGNORE)]


def _share_within(points: NDArray[np.intp], others: NDArray[np.intp], radius: float) -> float:
    """Share of the points with another one at most `radius` away; squared distances are whole numbers, so a hair of
    tolerance decides nothing."""
    distances, _ = KDTree(others).query(points, distance_upper_bound=radius + 1e-6)
    return int(np.count_nonzero(np.isfinite(distances))) / len(points)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _check_sizes(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise ValueError(f"masks must be H x W and of one size, not {prediction.shape} and {truth.shape}")
