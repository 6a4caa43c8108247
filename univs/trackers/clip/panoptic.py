"""Video panoptic segmentation: every pixel belongs to one segment at most, a thing or a class of stuff.

Shapes: N entities, K classes, H W pixels of the frame, h w a quarter of the padded input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.masks.strips import input_strips, upsampled
from univs.results import FrameResult
from univs.trackers.classes import Classes
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.tracks import Tracks
from univs.trackers.mask_scores import quality_counts, quality_of
from univs.trackers.tracker import Span


@dataclass(frozen=True)
class Segment:
    """What a number in the map stands for: a class (0-based), thing or stuff."""

    number: int
    category: int
    is_thing: bool


class PanopticOutput:
    """Segments that keep their numbers through the video.

    Pixels go by score times mask logit (released, though a larger score makes a negative logit worse).

    Args:
        classes: what the entities are sorted into.
        geometry: sizes of the frames.
        windows: frames that are painted together; each after the first leaves out one number (released).
        overlap: share of its pixels that a thing must win to be shown; half of that for one that was shown before.
        stuff_weight: what the score of stuff is multiplied by, unless the entity was shown as a thing before.
    """

    def __init__(
        self, classes: Classes, geometry: Geometry, windows: Windows, overlap: float = 0.6, stuff_weight: float = 0.75
    ) -> None:
        self._classes, self._geometry, self._windows = classes, geometry, windows
        self._overlap, self._stuff_weight = overlap, stuff_weight
        self._done = 0  # frames handed out
        self._last_number = 0
        self._things: dict[int, int] = {}  # entity id -> number
        self._stuff: dict[int, int] = {}  # class -> number
        self._category: dict[int, int] = {}  # entity id -> class, of those shown as things

    @property
    def oldest(self) -> int:
        return self._done

    @property
    def segments(self) -> list[Segment]:
        """All segments so far that were not removed: the things in the order of their numbers, then the stuff."""
        things = [Segment(number, self._category[entity], True) for entity, number in self._things.items()]
        return things + [Segment(number, category, False) for category, number in self._stuff.items()]

    def object_ids(self, tracks: Tracks) -> tuple[int, ...]:
        return tuple(sorted(segment.number for segment in self.segments))

    def remove(self, object_id: int) -> int:
        for entity, number in self._things.items():
            if number == object_id:
                del self._things[entity], self._category[entity]
                return entity
        raise KeyError(object_id)

    def begin(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        if not self._windows.begin():
            return []
        return self._window(tracks, range(self._done, self._done + self._windows.length))

    def answers(self, tracks: Tracks, span: Span) -> list[FrameResult]:
        self._windows.end(span)
        return []

    def finish(self, tracks: Tracks) -> list[FrameResult]:
        return self._window(tracks, range(self._done, max(tracks.logits, default=-1) + 1))

    def _window(self, tracks: Tracks, frames: Sequence[int]) -> list[FrameResult]:
        """One map of segment numbers for each of the frames, with the class of each number."""
        if not frames:
            return []
        self._done = frames[-1] + 1
        height, width = self._geometry.height, self._geometry.width
        maps = [np.zeros((height, width), np.int32) for _ in frames]
        scores: dict[int, float] = {}
        if len(tracks):
            scores = self._paint(tracks, frames, maps)
        segments = self.segments
        names = {segment.number: self._classes.names[segment.category] for segment in segments}
        stuff = frozenset(segment.number for segment in segments if not segment.is_thing)
        return [
            FrameResult(index, labels, tuple(sorted(names)), scores, names=names, stuff=stuff)
            for index, labels in zip(frames, maps, strict=True)
        ]

    def _paint(self, tracks: Tracks, frames: Sequence[int], maps: Sequence[NDArray[np.int32]]) -> dict[int, float]:
        """Write the numbers of the segments into the maps; number -> score."""
        class_scores, categories = tracks.class_scores().max(1)
        pieces = (piece for index in frames for piece in self._pieces(tracks.logits[index]))
        quality = quality_of(torch.stack([quality_counts(piece) for piece in pieces]).sum(0))
        scores = class_scores * quality
        things = self._classes.things[categories]
        was_thing = things.new_tensor([entity in self._things for entity in tracks.ids])
        scores = torch.where(things | was_thing, scores, scores * self._stuff_weight)
        winners, own, sure = [], torch.zeros_like(categories), torch.zeros_like(categories)
        shown = torch.zeros_like(categories)
        for index in frames:
            painted_pieces = []
            for logits in self._pieces(tracks.logits[index]):
                winner, inside = self._winners(logits, scores)
                own += torch.bincount(winner[winner >= 0], minlength=len(tracks))
                shown += torch.bincount(winner[(winner >= 0) & inside], minlength=len(tracks))
                sure += torch.stack([torch.count_nonzero(row >= 0) for row in logits])
                painted_pieces.append(winner.masked_fill(~inside, -1))
            winners.append(torch.cat(painted_pieces))
        numbers = self._numbers(tracks, categories.tolist(), own / sure.clamp_min(1), shown.tolist())
        for painted, winner in zip(maps, winners, strict=True):
            painted[:] = numbers[winner.cpu().numpy()]
        return {int(number): float(score) for number, score in zip(numbers, scores, strict=False) if number}

    def _winners(self, logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """N H W -> H W entity that a pixel goes to (-1: nobody), and whether that entity is sure of it."""
        weighed = scores[:, None, None] * logits
        winner = weighed.argmax(0)
        inside = logits.gather(0, winner[None])[0] >= 0
        return winner.masked_fill((logits < 0).all(0), -1), inside

    def _numbers(
        self, tracks: Tracks, categories: Sequence[int], share: Tensor, shown: Sequence[int]
    ) -> NDArray[np.int32]:
        """N+1 numbers of the entities' segments, 0 for those that are not shown; the last one stands for nobody."""
        if self._last_number:
            self._last_number += 1
        numbers = np.zeros(len(tracks) + 1, np.int32)
        for row, (entity, category) in enumerate(zip(tracks.ids, categories, strict=True)):
            if entity in self._category:
                self._category[entity] = category
            if not shown[row]:
                continue
            if not self._classes.things[category]:
                numbers[row] = self._number(self._stuff, category)
                continue
            if share[row] < self._overlap * (0.5 if entity in self._things else 1):
                continue
            numbers[row] = self._number(self._things, entity)
            self._category[entity] = category
        return numbers

    def _number(self, known: dict[int, int], key: int) -> int:
        """The number of a segment, a new one if it has none yet."""
        if key not in known:
            self._last_number += 1
            known[key] = self._last_number
        return known[key]

    def _pieces(self, logits: Tensor) -> Iterator[Tensor]:
        """N h w -> mask logits of a frame at its own size, from above: N rows W, all at once where sizes differ."""
        if self._geometry.resized:
            yield self._geometry.from_padded(upsampled(logits))
        else:
            yield from (strip for _, strip in input_strips(logits, self._geometry))
