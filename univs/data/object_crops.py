"""Pairs of crops that teach SiamMask: what an object looks like, and a square in which it may be found again.

Both are cut from the frames of a training clip (a photo that is made to move, or a video), as the tracker cuts them;
the second one is shifted and scaled at random, so that the object is not always in its middle (SiamMask, section 4).
Shapes: S pixels to a side of the square, A anchors, n cells to a side of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from univs.data.clips import TrainingClip, TrainingClips
from univs.losses.siammask_targets import AnchorTargets, anchor_targets, targets_of_a_pair
from univs.masks.meanings import IGNORE
from univs.models.siammask_anchors import Anchors, centre_grid
from univs.models.siammask_crops import (
    SEARCH,
    TEMPLATE,
    channel_mean,
    context_side,
    label_square,
    resized,
    search_side,
    square,
)
from univs.settings import Share, Weight

PAIRS = 0x9A12
"""Sets draws of pairs apart from those of clips, which begin with the same seed."""
LEAST_SEEN = 64
"""Pixels that an object must have on a frame."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class PairDraws:
    """How crops differ from those around the object. The defaults are the official ones.

    shift: of the square that is searched, pixels of the crop, either way. scale: of its side, as a share, either way.
    template_shift, template_scale: of the template. negatives: share of pairs whose square is around another object.
    surrounded: share of squares of which what lies outside of the frame is another clip, not one colour; clips show
    little around their objects, and a frame in the middle of one colour would tell where to look (ours).
    """

    shift: Weight = 64.0
    scale: Share = 0.18
    template_shift: Weight = 4.0
    template_scale: Share = 0.05
    negatives: Share = 0.2
    surrounded: Share = 0.5


@dataclass(frozen=True)
class CropPair:
    """template: 127 127 3. search: S S 3. mask: S S int8, 1 for the object, -1 for the rest, 0 for what is not known.
    targets: of the anchors; without the object in the square none holds it, and the mask is -1 or 0."""

    template: NDArray[np.uint8]
    search: NDArray[np.uint8]
    mask: NDArray[np.int8]
    targets: AnchorTargets


class ObjectCrops(Dataset[CropPair]):
    """An endless supply of pairs: that of an index depends on index and seed alone.

    Args:
        clips: of two frames.
        anchors: of the model.
        draws: how crops differ.
    """

    def __init__(self, clips: TrainingClips, anchors: Anchors, draws: PairDraws) -> None:
        self.clips, self.draws = clips, draws
        cells = (SEARCH - TEMPLATE) // anchors.stride + 9
        self.grid = centre_grid(anchors, cells, SEARCH // 2)
        self.counts, self.shares = clips.counts, clips.shares

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> CropPair:
        rng = np.random.default_rng([self.clips.settings.seed, index, PAIRS])
        clip = self.clips[index]
        chosen = int(rng.choice(clip.targets))
        frames = (0, 1) if seen(clip, 1, chosen) else (0, 0)
        if rng.random() < 0.5:
            frames = (frames[1], frames[0])
        template = self._template(clip, frames[0], chosen, rng)
        if rng.random() >= self.draws.negatives:
            return self._pair(template, clip, frames[1], chosen, rng, negative=False)
        other = self.clips[int(rng.integers(len(self.clips)))]
        return self._pair(template, other, 0, int(rng.choice(other.targets)), rng, negative=True)

    def _template(self, clip: TrainingClip, frame: int, chosen: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        image, box = clip.frames[frame], box_of(clip.labels[frame] == chosen)
        side = context_side(box[2] - box[0], box[3] - box[1])
        moved, large = drawn_square(
            box, side, side / TEMPLATE, self.draws.template_shift, self.draws.template_scale, rng
        )
        return square(image, moved, large, TEMPLATE, channel_mean(image))

    def _pair(
        self,
        template: NDArray[np.uint8],
        clip: TrainingClip,
        frame: int,
        chosen: int,
        rng: np.random.Generator,
        *,
        negative: bool,
    ) -> CropPair:
        """With the square around an object of a clip, which is the one to find or (negative) is not."""
        image, labels = clip.frames[frame], clip.labels[frame]
        box = box_of(labels == chosen)
        side = search_side(context_side(box[2] - box[0], box[3] - box[1]))
        moved, large = drawn_square(box, side, side / SEARCH, self.draws.shift, self.draws.scale, rng)
        search = square(image, moved, large, SEARCH, channel_mean(image))
        found = label_square(labels, moved, large, SEARCH)
        outside = label_square(np.ones_like(labels), moved, large, SEARCH) == 0
        if outside.any() and rng.random() < self.draws.surrounded:
            other = self.clips[int(rng.integers(len(self.clips)))]
            search = np.where(outside[..., None], resized(other.frames[0], SEARCH, SEARCH), search)
        mask = np.where(found == chosen, 1, -1).astype(np.int8) if not negative else np.full(found.shape, -1, np.int8)
        mask[found == IGNORE] = 0
        if negative:
            return CropPair(template, search, mask, targets_of_a_pair(self.grid, rng))
        zoom, middle = SEARCH / large, SEARCH // 2
        corners = np.array([(box[place] - moved[place % 2]) * zoom + middle for place in range(4)])
        return CropPair(template, search, mask, anchor_targets(self.grid, corners, rng))


def seen(clip: TrainingClip, frame: int, chosen: int) -> bool:
    """Whether enough of an object is seen on a frame of a clip."""
    return int((clip.labels[frame] == chosen).sum()) >= LEAST_SEEN


def box_of(mask: NDArray[np.bool_]) -> Box:
    """Left, top, right, bottom of what is in a mask H W, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def drawn_square(
    box: Box, side: float, pixel: float, shift: float, scale: float, rng: np.random.Generator
) -> tuple[tuple[float, float], int]:
    """The middle of a square near that of a box, and its side.

    Args:
        side: what it is without a change of scale.
        pixel: of the crop, in pixels of the frame; `shift` counts in those.
    """
    dx, dy = rng.uniform(-shift, shift, 2) * pixel
    large = max(2, round(side * (1 + rng.uniform(-scale, scale))))
    return ((box[0] + box[2]) / 2 + dx, (box[1] + box[3]) / 2 + dy), large


def collate_pairs(pairs: Sequence[CropPair]) -> dict[str, Any]:
    """A batch of B pairs: templates B 3 127 127 and searches B 3 S S uint8, masks B S S int8, labels B A n n int8,
    deltas B 4 A n n, weights B A n n."""

    def stacked(arrays: list[NDArray[Any]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    return {
        "templates": stacked([pair.template for pair in pairs]).permute(0, 3, 1, 2).contiguous(),
        "searches": stacked([pair.search for pair in pairs]).permute(0, 3, 1, 2).contiguous(),
        "masks": stacked([pair.mask for pair in pairs]),
        "labels": stacked([pair.targets.labels for pair in pairs]),
        "deltas": stacked([pair.targets.deltas for pair in pairs]),
        "weights": stacked([pair.targets.weights for pair in pairs]),
    }
