"""Following objects through a video with SiamMask: a box or mask to begin with, rotated boxes and masks afterwards.

Of each object are kept what it looked like in its first crop, which is never renewed, where it is, and how large. The
crops of all objects pass the network together. Shapes: N objects, H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.errors import UserError
from univs.masks.frame_labels import label_type
from univs.masks.rotated_boxes import rotated_box
from univs.models.siammask import SiamMask, Template
from univs.models.siammask_anchors import centred_grid
from univs.models.siammask_crops import SEARCH, TEMPLATE, channel_mean, square
from univs.results import FrameResult
from univs.settings import Share, Weight, Within
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.siammask_answers import (
    Choice,
    Following,
    MaskPlace,
    Target,
    choose,
    crop_side,
    placed,
    target_of_box,
    target_of_mask,
    towards_mask,
)
from univs.trackers.tracker import Clip, Frame, Question

SearchSide = Annotated[int, Within(TEMPLATE, 1023)]
"""Pixels; larger crops than any that are used would need memory without end."""
OBJECTS_AT_ONCE = 16
"""Objects that pass the network together: memory stays bounded however many there are."""


@dataclass(frozen=True)
class SiamMaskSettings:
    """How the answers are read; the defaults are those of the official program for the base model.

    change_penalty, window_share, size_rate: `siammask_answers.Following`. mask_threshold: a pixel is the object's where
    its map is above. smallest_area: square pixels that the part of a mask must enclose for a rotated box; else the
    upright box that is followed is given. masks: whether masks are asked for; if not, the box stands for the mask.
    search_side: pixels of the crop that is searched, 127 and a multiple of 16, so that one of the cells is the middle.
    half_up: places of crops are rounded half up, not half to even. outside: what the map of an object has outside of
    its mask. clamp_first: position and size are brought into the frame before the upright box is given, not after.
    lost_below: an object with a smaller score is called absent, and stays where it was; the official program calls
    none so. mask_share: how far an object goes towards the box around its mask from the box that is believed
    (`siammask_answers.towards_mask`); officially masks move nothing.
    """

    change_penalty: Weight = 0.09
    window_share: Share = 0.39
    size_rate: Share = 0.38
    mask_threshold: Share = 0.30
    smallest_area: Weight = 100.0
    masks: bool = True
    search_side: SearchSide = SEARCH
    half_up: bool = False
    outside: float = -1.0
    clamp_first: bool = False
    lost_below: Share = 0.0
    mask_share: Share = 0.0

    @property
    def following(self) -> Following:
        """What the choice of a box reads of them."""
        return Following(self.change_penalty, self.window_share, self.size_rate)


BASE = SiamMaskSettings()
"""The official program's defaults: its model without refinement."""
DAVIS = SiamMaskSettings(change_penalty=0.04, window_share=0.4, size_rate=1.0, mask_threshold=0.35)
"""DAVIS and YouTube-VOS."""
VOT = SiamMaskSettings(change_penalty=0.04, window_share=0.42, size_rate=0.25, mask_threshold=0.30)
"""VOT-2016 and VOT-2019."""
VOT_LD = SiamMaskSettings(change_penalty=0.10, window_share=0.41, size_rate=0.32, mask_threshold=0.15)
"""VOT-2018, with the weights that were trained on more data."""
LIGHT = replace(DAVIS, mask_share=0.5)
"""The small model's (ours): its boxes shrink or grow from frame to frame where its masks do not."""
PYSOT = replace(VOT_LD, half_up=True, outside=0.0, clamp_first=True)
"""What PySOT makes of the same network."""


@dataclass(frozen=True)
class FollowedObject:
    """All that is kept of an object: what it looks like (N = 1), the colour around frames, where it is, its score."""

    template: Template
    around: NDArray[np.uint8]
    target: Target
    score: float = 1.0


@dataclass(frozen=True)
class ObjectAnswer:
    """What is said of an object on a frame: its map (H W, its own if above the threshold) and its box (4 2)."""

    map: NDArray[np.float32]
    box: NDArray[np.float64] | None


class SiamMaskTracker:
    """Follows any number of objects, which boxes or masks show, through one video (`Tracker`).

    Raises UserError if frames are to be resized: crops are cut from the frame itself.
    """

    def __init__(self, model: SiamMask, question: Question, settings: SiamMaskSettings) -> None:
        geometry = question.geometry
        if geometry.resized or geometry.square:
            raise UserError("SiamMask cuts its crops from frames as they are; leave out the size (or set it to null)")
        step = 2 * model.anchors.stride
        if (settings.search_side - TEMPLATE) % step:
            raise UserError(f"search_side must be {TEMPLATE} and a multiple of {step}, such as {SEARCH}")
        self.model, self.settings = model, settings
        self.size = (geometry.height, geometry.width)
        self.objects: dict[int, FollowedObject] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return tuple(self.objects)

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """Labels and rotated boxes of the one frame of the clip. UserError for prompts that are no boxes or masks."""
        (frame,) = clip.frames
        answers = self.follow(frame, clip.prompts.get(frame.index, {}))
        boxes = {
            object_id: tuple((round(float(x), 3), round(float(y), 3)) for x, y in one.box)
            for object_id, one in answers.items()
            if one.box is not None
        }
        labels = merged({key: one.map for key, one in answers.items()}, self.size, self.settings.mask_threshold)
        scores = {object_id: known.score for object_id, known in self.objects.items()}
        return [FrameResult(frame.index, labels, self.object_ids, scores, rotated_boxes=boxes)]

    def follow(self, frame: Frame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, ObjectAnswer]:
        """The next frame, on which this was said: what is said of each object, in the order of `object_ids`.

        A mask that is given is the answer on its frame. Of an object that a box shows, the mask is looked for in the
        same frame; it is not moved by that.
        """
        shown = {object_id: shown_target(object_id, said) for object_id, said in prompts.items()}
        self._begin(frame.image, shown)
        given = {key: np.logical_or.reduce([m.mask for m in said.masks]) for key, said in prompts.items() if said.masks}
        answers = dict.fromkeys(self.objects, ObjectAnswer(np.empty(0, np.float32), None))
        for object_id, mask in given.items():
            box = rotated_box(mask, self.settings.smallest_area)
            answers[object_id] = ObjectAnswer(
                mask.astype(np.float32), shown[object_id].corners() if box is None else box
            )
        asked = [object_id for object_id in self.objects if object_id not in given]
        for start in range(0, len(asked), OBJECTS_AT_ONCE):
            answers.update(self._search(frame.image, asked[start : start + OBJECTS_AT_ONCE], shown))
        return answers

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        del self.objects[object_id]

    def _begin(self, image: NDArray[np.uint8], shown: Mapping[int, Target]) -> None:
        """Remember what shown objects look like."""
        around = channel_mean(image) if shown else np.zeros(3, np.uint8)
        for object_id, target in shown.items():
            crop = square(
                image,
                (target.x, target.y),
                max(1, round(target.side)),
                TEMPLATE,
                around,
                half_up=self.settings.half_up,
            )
            template = self.model.encode_template(self._images([crop]), masks=self.settings.masks)
            self.objects[object_id] = FollowedObject(template, around, target)

    def _search(
        self, image: NDArray[np.uint8], object_ids: list[int], shown: Mapping[int, Target]
    ) -> dict[int, ObjectAnswer]:
        """Look for objects in the frame, all at once; those that were not just shown move to where they are found."""
        settings, known = self.settings, [self.objects[object_id] for object_id in object_ids]
        crops = [self._crop(image, one) for one in known]
        found = self.model.search(Template.joined([one.template for one in known]), self._images(crops))
        grid = centred_grid(self.model.anchors, found.scores.shape[-1])
        scores, boxes = found.scores.cpu().numpy(), found.boxes.cpu().numpy()
        choices = [
            choose(scores[row], boxes[row], grid, one.target, settings.following) for row, one in enumerate(known)
        ]
        cells = torch.tensor([[row, *one.cell] for row, one in enumerate(choices)], device=found.scores.device)
        masks = self.model.masks(found, cells).sigmoid().cpu().numpy() if settings.masks else [None] * len(known)
        answers = {}
        for object_id, old, choice, mask in zip(object_ids, known, choices, masks, strict=True):
            answers[object_id] = self._answer(object_id, old, choice, mask, object_id in shown)
        return answers

    def _answer(
        self, object_id: int, old: FollowedObject, choice: Choice, mask: NDArray[np.float32] | None, shown: bool
    ) -> ObjectAnswer:
        """Move an object to where it was found, unless it was just shown, and lay its mask into the frame."""
        settings, height, width = self.settings, *self.size
        if choice.score < settings.lost_below and not shown:
            self.objects[object_id] = replace(old, score=choice.score)
            return ObjectAnswer(np.full(self.size, settings.outside, np.float32), None)
        upright = old.target if shown else choice.target
        if settings.clamp_first:
            upright = upright.inside(height, width)
        if mask is None:
            own = box_map(upright, self.size, settings.outside)
        else:
            place = MaskPlace.of(old.target, choice, settings.search_side, self.model.anchors.stride)
            own = placed(mask, place, self.size, settings.outside)
        box = None
        if mask is not None and not shown:
            box = rotated_box(own > settings.mask_threshold, settings.smallest_area)
        if not shown:
            found = choice.target
            if mask is not None and settings.mask_share:
                found = towards_mask(found, own > settings.mask_threshold, settings.mask_share)
            self.objects[object_id] = replace(old, target=found.inside(height, width), score=choice.score)
        return ObjectAnswer(own, upright.corners() if box is None else box)

    def _crop(self, image: NDArray[np.uint8], one: FollowedObject) -> NDArray[np.uint8]:
        place, search = (one.target.x, one.target.y), self.settings.search_side
        side = crop_side(one.target, search)
        return square(image, place, side, search, one.around, half_up=self.settings.half_up)

    def _images(self, crops: list[NDArray[np.uint8]]) -> Tensor:
        """N crops S S 3 -> N 3 S S as the network reads them."""
        stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return self.model.images(stacked.to(self.model.pixel_mean.device))


def shown_target(object_id: int, said: ObjectPrompt) -> Target:
    """Where a prompt says that an object is: its boxes, or else the box around its masks.

    Raises UserError for prompts of other kinds.
    """
    if said.points or said.scribbles or said.texts or not (said.boxes or said.masks):
        raise UserError(
            f"object {object_id} is not shown by a box or mask, and SiamMask takes nothing else: give a box, or make a "
            "mask of clicks or scribbles with another model first"
        )
    if said.boxes:
        sides = np.array([box.xyxy for box in said.boxes])
        return target_of_box((*sides[:, :2].min(0).tolist(), *sides[:, 2:].max(0).tolist()))
    return target_of_mask(np.logical_or.reduce([mask.mask for mask in said.masks]))


def box_map(target: Target, size: tuple[int, int], outside: float) -> NDArray[np.float32]:
    """H W: 1 at pixels whose centre lies in the box of a target, `outside` elsewhere."""
    rows, columns = (np.arange(length) + 0.5 for length in size)
    inside = (np.abs(rows - target.y) <= target.height / 2)[:, None] & (np.abs(columns - target.x) <= target.width / 2)
    return np.where(inside, np.float32(1), np.float32(outside))


def merged(maps: Mapping[int, NDArray[np.float32]], size: tuple[int, int], threshold: float) -> NDArray[Any]:
    """Where maps of objects overlap the highest counts, of equal ones the first; nobody's where none is above.

    Args:
        maps: object id -> H W.
    Returns:
        H W object ids, 0 for nobody.
    """
    labels = np.zeros(size, label_type(tuple(maps)))
    best = np.full(size, threshold, np.float32)
    for object_id, own in maps.items():
        ahead = own > best
        labels[ahead], best[ahead] = object_id, own[ahead]
    return labels
