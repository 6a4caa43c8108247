"""Where a word head sees objects that nobody follows yet, and whether those that are followed are still seen.

The head proposes boxes, whatever the names are. A box that lies on known objects is not asked about, nor one whose
words fit no thing, nor one that was asked about a moment ago in vain. The others are decoded together; so a frame costs
what is new on it, however many things and names there are. Every box and every mask is named by one product of the mean
of its cells with the words of all classes.

Shapes: N boxes, M of them asked about, K classes, h w a quarter of the padded input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE
from univs.masks.suppression import box_iou, boxes_of
from univs.models.prompt_maps import box_maps
from univs.models.univs import UniVS
from univs.models.word_answers import MOST_BOXES, box_request, word_parts
from univs.models.word_head import propose_boxes
from univs.settings import Count, CountFromZero
from univs.trackers.classes import Classes
from univs.trackers.detections import Detections, Filter
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.mask_scores import assign, mask_quality

SAME_BOX = 0.6
"""IoU from which a box is the one that was asked about before, as from which proposed boxes are one."""


@dataclass(frozen=True)
class FindSettings:
    """What counts as found.

    filter: which detections are looked at. class_score: class probability times mask quality that a new object needs.
    least_cells: cells of 4 x 4 pixels that it needs to have. match: overlap with an object, as it was on the frame
    before, from which a detection is that object (of masks; of boxes where a word head sees them). new_share: a new
    object lies with at most this share of it on objects that are known. most: objects that are followed at a time.
    lost_after: frames that an object may be out of sight, and looks that may not find it, before it is given up.
    ask_again: frames from which on a box of the word head that showed nothing new is asked about again.
    """

    filter: Filter = Filter(stability=0.5, most=20, box_overlap=0.85)
    class_score: float = 0.12
    least_cells: CountFromZero = 8
    match: float = 0.4
    new_share: float = 0.5
    most: Count = 20
    lost_after: CountFromZero = 15
    ask_again: Count = 3


@dataclass(frozen=True)
class Look:
    """What is seen on a frame.

    found: what may be an object; None: nothing. again: of each known object how far the box that it was seen in is an
    object, 0..1, 0 if it was seen in none; None: nobody said, the masks of what was found tell. boxes: M 4 of what was
    found, by a word head.
    """

    found: Detections | None
    again: Mapping[int, float] | None = None
    boxes: Tensor | None = None


class WordFinder:
    """Looks at frames with the word head; remembers the boxes that showed nothing new."""

    def __init__(self, model: UniVS, classes: Classes, settings: FindSettings) -> None:
        self._model, self._classes, self._settings = model, classes, settings
        self._head, _ = word_parts(model)
        self._refused: list[tuple[int, Tensor]] = []  # index of the frame, M 4 boxes

    def look(self, frame: EncodedFrame, known: Mapping[int, Tensor], room: bool) -> Look:
        """What is seen on a frame.

        Args:
            known: object -> h w bool mask on the frame before.
            room: whether another object may be followed.
        """
        boxes, objectness = propose_boxes(frame.cells, MOST_BOXES)
        again = self._again(boxes, objectness, known)
        if not (room and self._classes.things.any()):
            return Look(None, again)
        asked = self._worth_asking(frame, boxes, objectness, known).nonzero()[:, 0]
        if not len(asked):
            return Look(None, again)
        assert frame.key is not None  # a word head comes with a dense memory
        request = box_request(self._model, frame.features, frame.key, boxes[asked])
        prediction = self._model.decode([frame.inputs], request)
        logits = frame.geometry.clear_margin(prediction.mask_logits)[0, :, 0]
        scores = self.named(frame, logits > 0, logits) * objectness[asked, None]
        found = Detections(scores, mask_quality(logits), prediction.embeddings[0], prediction.mask_logits[0])
        return Look(found, again, boxes[asked])

    def named(self, frame: EncodedFrame, masks: Tensor, logits: Tensor) -> Tensor:
        """M K: how well the names fit M h w bool masks, times the quality of their M h w logits."""
        return self._fits(frame, F.avg_pool2d(masks[None].float(), 2)) * mask_quality(logits)[:, None]

    def refuse(self, index: int, boxes: Tensor) -> None:
        """These boxes showed nothing new on that frame."""
        if len(boxes):
            self._refused.append((index, boxes))

    def _again(self, boxes: Tensor, objectness: Tensor, known: Mapping[int, Tensor]) -> dict[int, float]:
        """Which box each known object was seen in: one to one, of the largest overlap in all."""
        again = dict.fromkeys(known, 0.0)
        if known:
            around = boxes_of(torch.stack(list(known.values())))
            around[:, 2:] += 1
            overlap = box_iou(MASK_STRIDE * around[:, None], boxes[:, None])[..., 0]
            numbers = list(known)
            again |= {numbers[row]: float(objectness[box]) for row, box, _ in assign(overlap, self._settings.match)}
        return again

    def _worth_asking(
        self, frame: EncodedFrame, boxes: Tensor, objectness: Tensor, known: Mapping[int, Tensor]
    ) -> Tensor:
        """N bool: the boxes that may hold a new thing."""
        height, width = frame.features.mask_features.shape[-2:]
        inside = box_maps(boxes, (height, width))[:, 0]
        fits = self._fits(frame, F.avg_pool2d(inside[None], 2))[:, self._classes.things].amax(1)
        worth = fits * objectness > self._settings.class_score
        if known:
            taken = torch.stack(list(known.values())).any(0)
            share = (inside * taken).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1e-6)
            worth &= share <= self._settings.new_share
        self._refused = [one for one in self._refused if frame.index - one[0] < self._settings.ask_again]
        if self._refused:
            refused = torch.cat([one for _, one in self._refused])
            worth &= box_iou(boxes[:, None], refused[:, None])[..., 0].amax(1) < SAME_BOX
        return worth

    def _fits(self, frame: EncodedFrame, shares: Tensor) -> Tensor:
        """N K in 0..1: how well the names fit masks 1 N H/8 W/8."""
        return self._head.score_masks(frame.cells, shares, self._classes.embeddings)[0].sigmoid()
