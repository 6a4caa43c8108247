"""Labelled clips, and what their learnable queries are to find.

Shapes: B clips, T frames, G objects of a clip, H W pixels of the padded input, K classes of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses.clip_criterion import ClipTargets
from univs.models.features import TextFeatures


@dataclass(frozen=True)
class LabelledClip:
    """T frames of a video with their objects."""

    frames: Tensor
    """T 3 H' W' RGB, uint8 or 0..255; H W are H' W' padded right and below."""
    frame_indices: Sequence[int]
    """T places in the video."""
    masks: Tensor
    """G T H W bool."""
    ids: Tensor
    """G: who an object is; of expressions, several may be of one object, each with its own row."""
    labels: Tensor | None = None
    """G class indices in the data set; None where it has no categories."""
    expressions: TextFeatures | None = None
    """Of the G objects, where they are described."""

    def take(self, rows: Tensor) -> LabelledClip:
        """The same with some of its objects."""
        texts = None if self.expressions is None else self.expressions.take(rows)
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, masks=self.masks[rows], ids=self.ids[rows], labels=labels, expressions=texts)

    def padded(self, size: tuple[int, int]) -> LabelledClip:
        """With masks of the padded size (H, W)."""
        height, width = self.masks.shape[-2:]
        return replace(self, masks=F.pad(self.masks, (0, size[1] - width, 0, size[0] - height)))

    def between(self, frames: slice) -> LabelledClip:
        """Some of its frames, with all of its objects."""
        return replace(
            self,
            frames=self.frames[frames],
            frame_indices=self.frame_indices[frames],
            masks=self.masks[:, frames],
        )

    def visible(self, most: int) -> LabelledClip:
        """With the first `most` of the objects that any frame shows."""
        return self.take(self.masks.flatten(1).any(1).nonzero()[:most, 0])

    def frame_ids(self) -> Tensor:
        """Who is on each frame: G T numbers from 0 (of expressions in their order), -1 where an object is not seen."""
        numbers = self.ids - self.ids.min() if len(self.ids) else self.ids
        if self.expressions is not None:
            numbers = running_numbers(self.ids)
        seen = self.masks.flatten(2).any(2)
        return torch.where(seen, numbers[:, None], -1)


def running_numbers(ids: Tensor) -> Tensor:
    """Ids G as 0, 1, ... in the order in which they first occur."""
    order = list(dict.fromkeys(ids.tolist()))
    return torch.tensor([order.index(number) for number in ids.tolist()], dtype=torch.long, device=ids.device)


def clip_targets(clips: Sequence[LabelledClip]) -> ClipTargets:
    """The targets of B clips of T frames, all of whose objects count."""
    most = max(len(clip.ids) for clip in clips)

    def padded(values: Tensor, blank: int) -> Tensor:
        return F.pad(values, [0, 0] * (values.dim() - 1) + [0, most - len(values)], value=blank)

    labels = [clip.labels for clip in clips if clip.labels is not None]
    return ClipTargets(
        torch.stack([padded(clip.masks, 0) for clip in clips]),
        torch.stack([padded(torch.ones_like(clip.ids, dtype=torch.bool), 0) for clip in clips]),
        torch.stack([padded(clip.frame_ids(), -1) for clip in clips]),
        torch.stack([padded(of_clip, 0) for of_clip in labels]) if labels else None,
    )


def boxes_of(masks: Tensor) -> Tensor:
    """Boxes around masks ... H W bool: ... 4 float, xyxy in pixels, far sides one behind the last pixel; absent: 0."""
    sides = []
    for along in (masks.any(-2), masks.any(-1)):
        places = torch.arange(along.shape[-1], device=masks.device)
        first = torch.where(along, places, along.shape[-1]).amin(-1)
        behind = torch.where(along, places + 1, 0).amax(-1)
        sides.append((torch.minimum(first, behind), behind))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], -1).float()
