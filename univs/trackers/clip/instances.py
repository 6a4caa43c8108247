"""Video instance segmentation: every entity is a track with a class.

Shapes: N entities, K classes, H W pixels of the frame, h w a quarter of the padded input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import painted
from univs.masks.geometry import Geometry
from univs.masks.strips import upsampled
from univs.results import FrameResult
from univs.trackers.classes import Classes
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.tracks import Tracks
from univs.trackers.tracker import Span


@dataclass(frozen=True)
class Row:
    """One line of the official results: an entity, a class (0-based), a score."""

    entity_id: int
    category: int
    score: float


class InstanceOutput:
    """Tracks of instances. A frame is handed out as soon as no clip can change it any more.

    Args:
        classes: what the entities are sorted into.
        geometry: sizes of the frames.
        windows: when the class scores of an entity are noted; its final ones are the mean of the notes.
        most_rows: how many rows at least.
    """

    def __init__(self, classes: Classes, geometry: Geometry, windows: Windows, most_rows: int = 35) -> None:
        self._classes, self._geometry = classes, geometry
        self._windows, self._most_rows = windows, most_rows
        self._done = 0  # frames handed out
        self._noted: dict[int, tuple[Tensor, int]] = {}  # id -> (sum of the noted class scores, how many)

    @property
    def oldest(self) -> int:
        return self._done

    def object_ids(self, tracks: Tracks) -> tuple[int, ...]:
        return tracks.ids

    def remove(self, object_id: int) -> int:
        return object_id

    def begin(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        if self._windows.begin():
            self._note(tracks)
        return []

    def answers(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        self._windows.end(span)
        return self._hand_out(tracks, span.final)

    def finish(self, tracks: Tracks) -> list[FrameResult]:
        self._note(tracks)
        return self._hand_out(tracks, max(tracks.logits, default=-1) + 1)

    def class_scores(self, tracks: Tracks) -> Tensor:
        """N K final class scores, before any weight by quality."""
        scores = tracks.class_scores()
        for row, entity_id in enumerate(tracks.ids):
            if entity_id in self._noted:
                total, count = self._noted[entity_id]
                scores[row] = total / count
        return scores

    def scores(self, tracks: Tracks) -> Tensor:
        """N K final scores: class scores times the summed quality, over the truncated largest one plus 1 (released)."""
        scores = self.class_scores(tracks)
        if not len(tracks):
            return scores
        return scores * (tracks.quality / (int(tracks.quality.max()) + 1))[:, None]

    def rows(self, tracks: Tracks) -> list[Row]:
        """What the official evaluation is given: (entity, class) pairs, entity by entity.

        Pairs with a class score of 0.005 or more; of these as many as 1.5 times those above 0.05, or `most_rows`, by
        final score, and one more (UNIVS, inference of VIS).
        """
        class_scores, scores = self.class_scores(tracks), self.scores(tracks)
        pairs = (class_scores >= 0.1 * 0.05).nonzero()
        values = scores[pairs[:, 0], pairs[:, 1]]
        most = max(int(1.5 * int((class_scores > 0.05).sum())), self._most_rows)
        least = values.sort(descending=True).values[most] if len(values) > most else -torch.inf
        return [
            Row(tracks.ids[row], category, float(value))
            for (row, category), value in zip(pairs.tolist(), values, strict=True)
            if value >= least
        ]

    def _note(self, tracks: Tracks) -> None:
        for entity_id, scores in zip(tracks.ids, tracks.class_scores(), strict=True):
            total, count = self._noted.get(entity_id, (torch.zeros_like(scores), 0))
            self._noted[entity_id] = (total + scores, count + 1)

    def _hand_out(self, tracks: Tracks, stop: int) -> list[FrameResult]:
        best, category = (
            self.scores(tracks).max(1) if len(tracks) else (torch.zeros(0), torch.zeros(0, dtype=torch.long))
        )
        scores = dict(zip(tracks.ids, best.tolist(), strict=True))
        names = {key: self._classes.names[index] for key, index in zip(tracks.ids, category.tolist(), strict=True)}
        results = [self._result(tracks, index, scores, names) for index in range(self._done, stop)]
        self._done = max(self._done, stop)
        return results

    def _result(self, tracks: Tracks, index: int, scores: Mapping[int, float], names: Mapping[int, str]) -> FrameResult:
        """A mask for each entity; they may overlap, and in the label map the one with the better track wins."""
        masks: dict[int, NDArray[np.bool_]] = {}
        if len(tracks):
            inside = self._geometry.from_padded(upsampled(tracks.logits[index])) > 0
            masks = dict(zip(tracks.ids, inside.cpu().numpy(), strict=True))
        order = sorted(masks, key=lambda entity_id: scores[entity_id])
        labels = painted(masks, (self._geometry.height, self._geometry.width), order)
        return FrameResult(index, labels, tracks.ids, scores, masks, names=names, track_scores=scores)
