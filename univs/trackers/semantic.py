"""Video semantic segmentation: every pixel gets the class that the learnable queries of a clip say, all together.

Models with a word head name each cell by itself.

Shapes: Q queries, K classes, T frames of the clip, h w a quarter of the padded input, H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.frame_labels import largest
from univs.masks.geometry import MASK_STRIDE, Geometry
from univs.masks.strips import input_strips
from univs.models.features import DecodeRequest
from univs.models.univs import UniVS
from univs.models.word_answers import word_parts
from univs.models.word_head import WORD_STRIDE, WordCells
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.classes import EVERYTHING, Classes, Words, classes_of
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.mask_scores import quality_counts, quality_of
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class SemanticSettings:
    """Whose words count, and how many frames are looked at together; clips don't overlap."""

    words: Words = Words()
    clip_length: Count = 1


class SemanticTracker:
    """Answers each clip by itself; nothing is remembered (`Tracker`)."""

    def __init__(self, model: UniVS, question: Question, settings: SemanticSettings) -> None:
        self._model, self._geometry = model, question.geometry
        self._classes = classes_of(model, question.categories or EVERYTHING, settings.words)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Numbers of the classes."""
        return tuple(range(1, len(self._classes.names) + 1))

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """Maps of class numbers, of the frames that are final with this clip."""
        encoded = [EncodedFrame(frame, self._model, self._geometry) for frame in clip.frames]
        final = clip.indices[: clip.span.final - clip.span.start]
        if self._model.word_head is not None:
            return [
                self._named(index, name_cells(self._model, frame.cells, self._classes, self._geometry))
                for index, frame in zip(final, encoded, strict=False)
            ]
        embeddings, length = self._classes.embeddings, len(clip.frames)
        request = DecodeRequest(learnable=True, clip_length=length, class_embeddings=embeddings)
        prediction = self._model.decode([frame.inputs for frame in encoded], request)
        assert prediction.class_logits is not None
        logits = prediction.mask_logits[0]
        counts = [quality_counts(strip) for frame in logits.unbind(1) for strip in strips(frame, self._geometry)]
        quality = quality_of(torch.stack(counts).sum(0))
        scores = prediction.class_logits[0].sigmoid() * quality[:, None]
        return [
            self._named(index, classify(logits[:, place], scores, self._geometry)) for place, index in enumerate(final)
        ]

    def finish(self) -> list[FrameResult]:
        """Nothing is left: clips do not wait for each other."""
        return []

    def remove(self, object_id: int) -> None:
        """Classes stay. KeyError."""
        raise KeyError(object_id)

    def _named(self, index: int, classes: Tensor) -> FrameResult:
        labels = classes.cpu().numpy()
        numbers = tuple(np.flatnonzero(np.bincount(labels.ravel())).tolist())
        names = {number: self._classes.names[number - 1] for number in numbers}
        return FrameResult(index, labels, numbers, dict.fromkeys(numbers, 1.0), names=names)


def name_cells(model: UniVS, cells: WordCells, classes: Classes, geometry: Geometry) -> Tensor:
    """H W class numbers from 1 on one frame: which name fits each cell best, said by the word head.

    Raises UserError if the model has none.
    """
    head, _ = word_parts(model)
    scores = head.score_cells(cells, classes.embeddings)
    fine = F.interpolate(scores, scale_factor=WORD_STRIDE // MASK_STRIDE, mode="bilinear", align_corners=False)[0]
    numbers = torch.arange(1, len(fine) + 1, dtype=_class_type(len(fine))).numpy()
    padded = Geometry(*geometry.padded, *geometry.padded)
    labels = torch.from_numpy(largest(fine, numbers, padded))
    return to_frame(labels[: geometry.input_height, : geometry.input_width], geometry)


def classify(logits: Tensor, scores: Tensor, geometry: Geometry) -> Tensor:
    """H W class numbers from 1: the largest sum over the queries of score times probability of the mask.

    Args:
        logits: Q h w mask logits of a frame.
        scores: Q K class scores.
    """
    dtype = _class_type(scores.shape[1])
    rows = []
    for _, strip in input_strips(logits, geometry):
        votes = scores.T @ strip.flatten(1).sigmoid()
        rows.append((votes.argmax(0) + 1).to(dtype).view(strip.shape[1:]))
    return to_frame(torch.cat(rows), geometry)


def _class_type(count: int) -> torch.dtype:
    """The smallest type that holds numbers from 1 to `count`."""
    return torch.uint8 if count < 255 else torch.int32


def to_frame(labels: Tensor, geometry: Geometry) -> Tensor:
    """Labels h w of the input -> H W of the frame, each pixel from the nearest."""
    if not geometry.resized:
        return labels
    rows, columns = nearest(geometry, labels.device)
    return labels[rows][:, columns]


def nearest(geometry: Geometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of the frame's H rows and W columns, those of the input."""
    sizes = ((geometry.height, geometry.input_height), (geometry.width, geometry.input_width))
    rows, columns = (torch.arange(size, device=device) * inner // size for size, inner in sizes)
    return rows, columns


def strips(logits: Tensor, geometry: Geometry) -> Iterator[Tensor]:
    """Q h w -> Q H W piece by piece, from above: enlarged bilinearly, cut to the input, then nearest to the frame."""
    rows, columns = nearest(geometry, logits.device)
    for top, strip in input_strips(logits, geometry):
        if geometry.resized:
            inside = rows[(rows >= top) & (rows < top + strip.shape[1])] - top
            strip = strip[:, inside][:, :, columns]
        yield strip
