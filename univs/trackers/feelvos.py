"""Following objects through a video by the embeddings of their pixels: FEELVOS.

Each frame is compared with the frames whose masks were given (the references) and with the one before; a small head
makes a logit of each object of that, and the soft-max over them is the answer. What is kept of a video: references, the
embedding of the frame before and its labels, all of them at stride 4. Objects that are first shown later, which the
released program has no rule for, bring references of their own: the pixels of the mask that shows them. So do known
objects that are shown again.

Shapes: N objects (background is one of them), H W pixels of the frame, h w cells of the input, E channels of the
embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.aligned_corners import best_labels, nearest_labels
from univs.masks.frame_labels import label_type
from univs.models.feelvos import FEELVOS, Seen
from univs.models.pixel_matching import known_rows, pixel_rows
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.object_prompts import shown_masks
from univs.trackers.space_time import confidence
from univs.trackers.tracker import Clip, Frame, Question

log = logging.getLogger(__name__)

BACKGROUND = 0


@dataclass(frozen=True)
class EmbeddingSettings:
    """What is compared.

    reference_frames: frames on which masks of an object were given, of which its pixels are references: the first
    stays, of the others the oldest gives way. reference_cells: cells of an object on such a frame, evenly chosen, that
    are references; None: all, as the released program has it. soft_previous: the head sees the probabilities of the
    frame before, as the paper says, and not its labels, as the released program has it.
    """

    reference_frames: Count = 4
    reference_cells: Count | None = None
    soft_previous: bool = False


@dataclass(frozen=True)
class Before:
    """The frame before: `known_rows` of its embedding h*w E+2, its labels h w (ids), soft masks h w for the head."""

    known: Tensor
    labels: Tensor
    masks: Mapping[int, Tensor]


@dataclass(frozen=True)
class Compared:
    """What a frame was answered from: ids of the N channels, their maps N 3 h w, and their logits N h w."""

    channels: tuple[int, ...]
    maps: Tensor
    logits: Tensor


class EmbeddingTracker:
    """Follows any number of objects, which masks show, through one video (`Tracker`)."""

    def __init__(self, model: FEELVOS, question: Question, settings: EmbeddingSettings) -> None:
        self.model, self.geometry, self.settings = model, question.geometry, settings
        self.references: dict[int, list[Tensor]] = {}
        """Id -> `known_rows` of its pixels on the frames where they were given; background is one of them."""
        self.before: Before | None = None
        self._ids: tuple[int, ...] = ()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return self._ids

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip. UserError for prompts that are no masks."""
        (frame,) = clip.frames
        given = shown_masks(clip.prompts.get(frame.index, {}), "FEELVOS")
        labels, compared = self.follow(frame, given)
        scores = dict.fromkeys(self._ids, 0.0)
        if compared is not None:
            scores.update(zip(compared.channels[1:], confidence(compared.logits.softmax(0)), strict=True))
        scores.update(dict.fromkeys(given, 1.0))
        return [FrameResult(frame.index, labels, self._ids, scores)]

    def follow(
        self, frame: Frame, given: Mapping[int, NDArray[np.bool_]]
    ) -> tuple[NDArray[np.integer], Compared | None]:
        """The next frame, on which these H W masks came: its labels H W, and what they were made from.

        None if nothing was to be compared: before the first mask, or where all objects are shown.
        """
        self._ids = tuple(dict.fromkeys((*self._ids, *given)))
        labels = np.zeros(frame.image.shape[:2], label_type(self._ids))
        if not self._ids:
            return labels, None
        image = self.geometry.shrink_frame(frame.image).to(self.model.pixel_mean.device)
        seen = self.model.encode(self.model.images(image))
        compared = self.compare(seen, tuple(one for one in self._ids if one in self.references and one not in given))
        if compared is not None:
            best = best_labels(compared.logits, labels.shape).cpu().numpy()
            labels = np.array(compared.channels, labels.dtype)[best]
        for object_id, mask in given.items():
            labels[mask] = object_id
        self.remember(frame.index, seen, labels, given, compared)
        return labels, compared

    def compare(self, seen: Seen, asked: tuple[int, ...]) -> Compared | None:
        """Background and the objects that are asked about, on a frame."""
        if self.before is None or not asked:
            return None
        channels = (BACKGROUND, *asked)
        small = self.before.labels.cpu().numpy()
        rows = np.full(small.shape, -1)
        for row, object_id in enumerate(channels):
            rows[small == object_id] = row
        none = [self.before.known[:0]]  # a first mask that fills the frame leaves no background
        references = [torch.cat(self.references.get(object_id, none)) for object_id in channels]
        masks = torch.stack([self._mask_before(object_id) for object_id in channels])
        maps = self.model.match(seen.embedding[0], references, self.before.known, rows, masks)
        return Compared(channels, maps, self.model.decode(seen.features, maps))

    def remember(
        self,
        index: int,
        seen: Seen,
        labels: NDArray[np.integer],
        given: Mapping[int, NDArray[np.bool_]],
        compared: Compared | None,
    ) -> None:
        """Keep what the next frame is compared with; cells of given masks become references."""
        known = known_rows(pixel_rows(seen.embedding[0]))
        size, device = seen.embedding.shape[-2:], known.device
        small = nearest_labels(torch.from_numpy(labels.astype(np.int64)).to(device), size)
        soft: dict[int, Tensor] = {}
        if self.settings.soft_previous and compared is not None:
            soft = dict(zip(compared.channels, compared.logits.softmax(0), strict=True))
            for object_id in given:
                for mask in soft.values():
                    mask[small == object_id] = 0
        self.before = Before(known, small, soft)
        if given and BACKGROUND not in self.references:
            self._add_reference(BACKGROUND, known[small.flatten() == BACKGROUND])
        for object_id in given:
            cells = known[small.flatten() == object_id]
            self._add_reference(object_id, cells)
            if not len(cells):
                log.warning(
                    "object %d is too small on frame %d: none of the cells of every fourth pixel is its own; %s",
                    *(object_id, index),
                    "what was shown before counts" if object_id in self.references else "it is not followed",
                )

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object; the pixels that it had are nobody's. KeyError if it is not known."""
        if object_id not in self._ids:
            raise KeyError(object_id)
        self._ids = tuple(known for known in self._ids if known != object_id)
        self.references.pop(object_id, None)

    def _mask_before(self, object_id: int) -> Tensor:
        """h w, of the frame before."""
        assert self.before is not None
        hard = (self.before.labels == object_id).to(self.before.known.dtype)
        return self.before.masks.get(object_id, hard)

    def _add_reference(self, object_id: int, cells: Tensor) -> None:
        """Cells M E+2 of an object become references; none leave everything as it was."""
        most = self.settings.reference_cells
        if most is not None and len(cells) > most:
            cells = cells[torch.linspace(0, len(cells) - 1, most, device=cells.device).round().long()]
        if len(cells):
            first, *later = [*self.references.get(object_id, []), cells]
            keep = self.settings.reference_frames - 1
            self.references[object_id] = [first, *(later[-keep:] if keep else [])]
