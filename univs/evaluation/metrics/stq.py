"""Segmentation and tracking quality (STQ) of panoptic videos: how well pixels are named, how well objects are followed.

Source: Weber et al., "STEP: Segmenting and Tracking Every Pixel", NeurIPS 2021; conventions at the edges are those of
deeplab2 and of the VIPSeg tool. STQ = sqrt(AQ SQ). Figures are fractions 0..1. M rows say what meets where, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
INSTANCES = 1 << 32
"""Instance numbers lie below."""


class Meetings(NamedTuple):
    """What meets on a video's pixels, M rows: true and predicted class (C for void) and instance, and the pixels.

    The same row may come several times (in several frames).
    """

    true_class: Integers
    true_instance: Integers
    predicted_class: Integers
    predicted_instance: Integers
    pixels: Integers


@dataclass(frozen=True)
class SequenceStq:
    """What STQ adds up over videos.

    Attributes:
        shared, true, predicted: pixels of each class and, last, of void: C+1 each; pixels of true void are left out.
        association: sum over the true tubes of how well each is followed (0..1).
        tubes: how many true tubes there are.
        length: frames.
    """

    shared: Integers
    true: Integers
    predicted: Integers
    association: float
    tubes: int
    length: int

    @property
    def sq(self) -> float:
        """Mean IoU over what occurs. Void that was predicted where something is true counts as one more class."""
        return mean_iou(self.shared, self.true, self.predicted)

    @property
    def aq(self) -> float:
        """Mean over the true tubes; 0 without any."""
        return self.association / self.tubes if self.tubes else 0.0

    @property
    def stq(self) -> float:
        """Geometric mean of both."""
        return math.sqrt(self.aq * self.sq)


def mean_iou(shared: Integers, true: Integers, predicted: Integers) -> float:
    """Mean of shared / (true + predicted - shared) over the classes that occur in either; NaN if none does."""
    union = true + predicted - shared
    seen = union > 0
    return float(np.mean(shared[seen] / union[seen])) if seen.any() else math.nan


def measure_sequence(meetings: Meetings, things: Sequence[int], classes: int, crowd: int, length: int) -> SequenceStq:
    """The parts of STQ of one video.

    Args:
        things: classes whose instances are followed.
        classes: C.
        crowd: true instance number of things that stand for a crowd: they count for SQ, but their pixels take part in
            AQ on neither side.
        length: frames.

    A tube is all of a class and an instance number in the video. AQ of a true tube g is
    sum_p |g p| IoU(g, p) / |g| over the predicted tubes of things p, whatever their class; p counts with all its
    pixels, also on void and stuff, those on a crowd excepted.
    """
    true_class, true_instance, predicted_class, predicted_instance, pixels = meetings
    labelled = true_class < classes
    confusion = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(confusion, (true_class[labelled], predicted_class[labelled]), pixels[labelled])

    is_thing = np.isin(np.arange(classes + 1), np.asarray(things, np.int64))
    true_thing, predicted_thing = is_thing[true_class], is_thing[predicted_class]
    on_crowd = true_thing & (true_instance == crowd)
    true_thing &= ~on_crowd
    predicted_thing &= ~on_crowd
    # Tubes by number: places in the sorted lists of what occurs.
    true_tubes, true_place = np.unique(true_class * INSTANCES + true_instance, return_inverse=True)
    predicted_tubes, predicted_place = np.unique(predicted_class * INSTANCES + predicted_instance, return_inverse=True)
    true_size = np.bincount(true_place[true_thing], pixels[true_thing], len(true_tubes))
    predicted_size = np.bincount(predicted_place[predicted_thing], pixels[predicted_thing], len(predicted_tubes))
    both = true_thing & predicted_thing
    pairs, pair_place = np.unique(true_place[both] * len(predicted_tubes) + predicted_place[both], return_inverse=True)
    overlap = np.bincount(pair_place, pixels[both], len(pairs))
    true_of, predicted_of = np.divmod(pairs, max(len(predicted_tubes), 1))
    iou = overlap / (true_size[true_of] + predicted_size[predicted_of] - overlap)
    association = float(np.sum(overlap * iou / true_size[true_of]))
    return SequenceStq(
        np.diag(confusion).copy(),
        confusion.sum(1),
        confusion.sum(0),
        association,
        int(np.count_nonzero(true_size)),
        length,
    )


def pooled(sequences: Sequence[SequenceStq]) -> SequenceStq:
    """All videos as one: tubes and pixels are added up, figures not averaged. Raises ValueError without a video."""
    if not sequences:
        raise ValueError("there is no video to pool")
    return SequenceStq(
        np.sum([part.shared for part in sequences], 0),
        np.sum([part.true for part in sequences], 0),
        np.sum([part.predicted for part in sequences], 0),
        math.fsum(part.association for part in sequences),
        sum(part.tubes for part in sequences),
        sum(part.length for part in sequences),
    )


def stq_figures(names: Sequence[Any], sequences: Sequence[SequenceStq]) -> dict[str, Any]:
    """All figures under the names of the official tools, of the whole set and per sequence."""
    every = pooled(sequences)
    return {
        "STQ": every.stq,
        "AQ": every.aq,
        "IoU": every.sq,
        "STQ_per_seq": [part.stq for part in sequences],
        "AQ_per_seq": [part.aq for part in sequences],
        "IoU_per_seq": [part.sq for part in sequences],
        "ID_per_seq": list(names),
        "Length_per_seq": [part.length for part in sequences],
    }
