"""Video instance segmentation: every entity is a track with a class.

Shapes: N entities, K classes, H W pixels of the frame, h w a quarter of the padded input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.masks.strips import upsampled
from univs.trackers.answers import Answer, label_type
from univs.trackers.classes import Classes
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.tracks import Tracks
from univs.trackers.tracker import Span


@dataclass(frozen=True)
class EntityAnswer(Answer):
    """Entities of one frame, each on its own.

    logits: N h w, positive inside. names: id -> best class so far. track_scores: id -> score of the track so far. Where
    masks overlap, the label is that of the entity with the best track score.
    """

    logits: Tensor
    names: Mapping[int, str]
    track_scores: Mapping[int, float]

    def labels(self) -> NDArray[Any]:
        height, width = self.geometry.height, self.geometry.width
        labels = np.zeros((height, width), label_type(self.object_ids))
        masks = self.masks()
        for object_id in sorted(masks, key=lambda object_id: self.track_scores[object_id]):
            labels[masks[object_id]] = object_id
        return labels

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        if not self.object_ids:
            return {}
        inside = self.geometry.from_padded(upsampled(self.logits)) > 0
        return dict(zip(self.object_ids, inside.cpu().numpy(), strict=True))


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
        windows: when the class scores of an entity are noted; its final ones are the mean of the notes (official).
            None: the class scores are those of the last moment.
        scale_quality: official final scores are multiplied by the summed quality over the truncated largest one plus
            1; otherwise they are the class scores.
        most_rows: how many rows at least.
    """

    def __init__(
        self,
        classes: Classes,
        geometry: Geometry,
        *,
        windows: Windows | None = None,
        scale_quality: bool = False,
        most_rows: int = 35,
    ) -> None:
        self._classes, self._geometry = classes, geometry
        self._windows, self._scales, self._most_rows = windows, scale_quality, most_rows
        self._done = 0  # frames handed out
        self._noted: dict[int, tuple[Tensor, int]] = {}  # id -> (sum of the noted class scores, how many)
        self._last: Tracks | None = None

    @property
    def oldest(self) -> int:
        return self._done

    def begin(self, tracks: Tracks, span: Span) -> list[Answer]:
        if self._windows is not None and self._windows.begin():
            self._note(tracks)
        return []

    def answers(self, tracks: Tracks, span: Span) -> list[Answer]:
        if self._windows is not None:
            self._windows.end(span)
        return self._hand_out(tracks, span.final)

    def finish(self, tracks: Tracks) -> list[Answer]:
        if self._windows is not None:
            self._note(tracks)
        self._last = tracks
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
        """N K final scores."""
        scores = self.class_scores(tracks)
        if not self._scales or not len(tracks):
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

    def _hand_out(self, tracks: Tracks, stop: int) -> list[Answer]:
        best, category = (
            self.scores(tracks).max(1) if len(tracks) else (torch.zeros(0), torch.zeros(0, dtype=torch.long))
        )
        scores = dict(zip(tracks.ids, best.tolist(), strict=True))
        names = {key: self._classes.names[index] for key, index in zip(tracks.ids, category.tolist(), strict=True)}
        answers: list[Answer] = [
            EntityAnswer(index, tracks.ids, scores, self._geometry, tracks.logits[index].clone(), names, scores)
            for index in range(self._done, stop)
        ]
        self._done = max(self._done, stop)
        return answers
