"""From the learnable queries of a clip to detections: class scores, filters by stability and score, suppression.

Shapes: M detections, K classes, T frames, C channels, h w a quarter of the padded input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from univs.masks.suppression import Rule, box_iou, boxes_of, mask_iou, suppress
from univs.models.features import Prediction
from univs.settings import Count
from univs.trackers.mask_scores import mask_quality


@dataclass(frozen=True)
class Detections:
    """Learnable queries that may be entities."""

    scores: Tensor
    """M K: class probability times mask quality."""
    quality: Tensor
    """M."""
    embeddings: Tensor
    """M T C."""
    maps: Tensor
    """Mask logits M' T h w of these queries, and of others perhaps."""
    rows: Tensor | None = None
    """M: which of the maps are theirs; None: all, in order. Maps are large, so that choosing copies none."""

    @property
    def logits(self) -> Tensor:
        """M T h w."""
        return self.maps if self.rows is None else self.maps[self.rows]

    def masks(self, place: int) -> Tensor:
        """M h w bool masks on frame `place` of the clip."""
        maps = self.maps[:, place]
        return (maps if self.rows is None else maps[self.rows]) > 0

    def boxes(self) -> Tensor:
        """M T 4 boxes around the masks."""
        return torch.stack([boxes_of(self.masks(place)) for place in range(self.maps.shape[1])], 1)

    @staticmethod
    def of(prediction: Prediction, queries: int) -> Detections:
        """The first `queries` rows of a prediction of one clip; it must have class logits."""
        assert prediction.class_logits is not None
        logits = prediction.mask_logits[0, :queries]
        quality = mask_quality(logits)
        scores = prediction.class_logits[0, :queries].sigmoid() * quality[:, None]
        return Detections(scores, quality, prediction.embeddings[0, :queries], logits)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best(self) -> Tensor:
        """M: score of the best class."""
        return self.scores.amax(1)

    def take(self, rows: Tensor) -> Detections:
        """Some of them: a bool mask, or indices in the order wanted."""
        every = torch.arange(len(self.maps), device=self.maps.device) if self.rows is None else self.rows
        return Detections(self.scores[rows], self.quality[rows], self.embeddings[rows], self.maps, every[rows])

    def by_score(self, most: int | None = None) -> Detections:
        """The best of them, best first."""
        return self.take(self.best.argsort(descending=True, stable=True)[:most])


def without_doubles(found: Detections, threshold: float, rule: Rule) -> Detections:
    """Drop detections whose boxes overlap a better one's by `threshold` or more in any frame (sorted ones given)."""
    boxes = found.boxes()
    return found.take(suppress(box_iou(boxes, boxes).amax(-1), threshold, rule))


def without_double_masks(found: Detections, threshold: float, rule: Rule) -> Detections:
    """Drop detections whose masks on the first frame overlap a better one's by `threshold` or more."""
    first = found.masks(0)
    return found.take(suppress(mask_iou(first, first), threshold, rule))


@dataclass(frozen=True)
class Filter:
    """Which detections are worth a look.

    Args:
        stability: mask quality to exceed.
        most: how many, best first.
        box_overlap: boxes that overlap a better one as much as this fall; None: no suppression.
        suppression: who suppresses (`suppression.Rule`).
    """

    stability: float = 0.25
    most: Count = 35
    box_overlap: float | None = 0.85
    suppression: Rule = "kept"

    def __call__(self, found: Detections) -> Detections:
        """The detections that remain, best first."""
        found = found.take(found.quality > self.stability).by_score(self.most)
        return found if self.box_overlap is None else without_doubles(found, self.box_overlap, self.suppression)


@dataclass(frozen=True)
class PanopticFilter:
    """Things and stuff apart: boxes tell things from each other, masks stuff.

    Args:
        most, most_things, most_stuff: how many detections, and then of each sort.
        box_overlap, mask_overlap: from which a thing, a stuff falls to a better one.
        suppression: who suppresses (`suppression.Rule`).
    """

    most: Count = 100
    most_things: Count = 70
    most_stuff: Count = 30
    box_overlap: float = 0.75
    mask_overlap: float = 0.6
    suppression: Rule = "kept"

    def __call__(self, found: Detections, things: Tensor) -> Detections:
        """The detections that remain, the best things first, then the best stuff; things: K bool."""
        found = found.by_score(self.most)
        is_thing = things[found.scores.argmax(1)]
        thing = found.take(is_thing).by_score(self.most_things)
        stuff = found.take(~is_thing).by_score(self.most_stuff)
        thing = without_doubles(thing, self.box_overlap, self.suppression)
        stuff = without_double_masks(stuff, self.mask_overlap, self.suppression)
        return joined(thing, stuff)


def joined(first: Detections, second: Detections) -> Detections:
    """Both, one after the other; they were taken from the same detections."""
    assert first.maps is second.maps and first.rows is not None and second.rows is not None
    return Detections(
        torch.cat([first.scores, second.scores]),
        torch.cat([first.quality, second.quality]),
        torch.cat([first.embeddings, second.embeddings]),
        first.maps,
        torch.cat([first.rows, second.rows]),
    )
