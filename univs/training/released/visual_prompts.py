"""Objects of a training clip shown by a point, a box or a mask on one of its frames.

Shapes: T frames, G objects of a clip, M shown ones, H W pixels of the padded input, R tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from univs.models.draws import Draws
from univs.models.features import ImageFeatures, PromptTokens, fit_width
from univs.models.univs import UniVS
from univs.training.released.settings import TokenOrder
from univs.training.released.targets import boxes_of

MASK, POINT, BOX = range(3)
POINT_SHARE, BOX_SHARE = 0.25, 0.25

LARGE = 0.09
"""A box of a larger share of the input is moved."""
MOVED = 0.1
"""Up to this share of its sides."""


@dataclass(frozen=True)
class ShownObjects:
    """Which objects are shown, on which frame, by what."""

    frame: int
    """The frame of the clip, from 0."""
    rows: Tensor
    """M distinct objects of the clip."""
    kinds: Tensor
    """M: `MASK`, `POINT` or `BOX`."""


def draw_shown(masks: Tensor, most: int, draws: Draws) -> ShownObjects:
    """Up to `most` of the objects (G T H W bool) that one frame shows, each by a kind of prompt of its own."""
    frame = int(draws.permutation(masks.shape[1])[0])
    there = masks[:, frame].flatten(1).any(1).nonzero()[:, 0]
    rows = there[draws.permutation(len(there)).to(there.device)][:most]
    return ShownObjects(frame, rows, draw_kinds(len(rows), draws).to(rows.device))


def draw_again(shown: ShownObjects, frames: int, draws: Draws) -> ShownObjects:
    """The same objects on another clip of T frames, whether its frame shows them or not."""
    frame = int(draws.permutation(frames)[0])
    return ShownObjects(frame, shown.rows, draw_kinds(len(shown.rows), draws).to(shown.rows.device))


def draw_kinds(count: int, draws: Draws) -> Tensor:
    """A kind of prompt for each of `count` objects."""
    u = draws.uniform(count)
    kinds = torch.full((count,), MASK)
    kinds[u <= POINT_SHARE + BOX_SHARE] = BOX
    kinds[u <= POINT_SHARE] = POINT
    return kinds


@dataclass(frozen=True)
class PromptFrame:
    """A frame that objects are shown on."""

    model: UniVS
    features: ImageFeatures
    """Of that frame."""
    index: int
    """Its place in the video."""
    tokens: int
    """R."""
    order: TokenOrder
    draws: Draws

    def encode(self, masks: Tensor, kinds: Tensor) -> PromptTokens:
        """Tokens of M objects: masks M H W bool, empty where the frame does not show one, and kinds of prompts M."""
        pieces, rows = [], []
        for kind, encode in ((MASK, self._masks), (POINT, self._points), (BOX, self._boxes)):
            of_kind = (kinds == kind).nonzero()[:, 0]
            if len(of_kind):
                pieces.append(encode(masks[of_kind]))
                rows.append(of_kind)
        content, positions, valid = (
            torch.cat([getattr(piece, name) for piece in pieces]) for name in ("features", "positions", "valid")
        )
        own = torch.cat(rows).argsort()
        if self.order == "objects":
            return PromptTokens(content[own], positions[own], valid[own])
        return PromptTokens(content, positions[own], content.any(-1))

    def _masks(self, masks: Tensor) -> PromptTokens:
        return self.model.encode_masks(self.features, masks, self.index, self.draws, self.tokens, extremes=True)

    def _points(self, masks: Tensor) -> PromptTokens:
        points = draw_points(masks, self.draws)[:, None]
        labels = torch.ones_like(points[..., 0], dtype=torch.long)
        found = self.model.encode_points(self.features, points, labels, self.index, self.tokens)
        return fit_width(found, self.tokens)

    def _boxes(self, masks: Tensor) -> PromptTokens:
        boxes = boxes_of(masks)
        moved = move_boxes(boxes, self.features.input_size, self.draws)
        return self.model.encode_boxes(
            self.features, boxes, self.index, self.draws, self.tokens, moved=moved, extremes=True
        )


def draw_points(masks: Tensor, draws: Draws) -> Tensor:
    """The centre of a pixel (x, y) of each mask M H W bool, a place outside where the mask is empty: M 2."""
    picks = draws.permutation(masks[0].numel())[: len(masks)].tolist()
    points = torch.full((len(masks), 2), -1.0, device=masks.device)
    for point, mask, pick in zip(points, masks, picks, strict=True):
        pixels = mask.nonzero()
        if len(pixels):
            point[:] = pixels[pick % len(pixels)].flip(0) + 0.5
    return points


def move_boxes(boxes: Tensor, size: tuple[int, int], draws: Draws) -> Tensor:
    """Boxes M 4 (xyxy, pixels of H W) as a person would draw them: large ones change size and place a little."""
    height, width = size
    scale = boxes.new_tensor([width, height, width, height])
    unit = boxes / scale
    extent, centre = unit[:, 2:] - unit[:, :2], (unit[:, :2] + unit[:, 2:]) / 2
    grown, shifted = (MOVED * (2 * draws.uniform(len(boxes), 2).to(boxes) - 1) for _ in range(2))
    half, middle = (extent * (1 + grown)).clamp_max(1) / 2, centre + shifted * extent
    moved = torch.cat([middle - half, middle + half], 1) * scale
    return torch.where((extent.prod(1) > LARGE)[:, None], moved, boxes)
