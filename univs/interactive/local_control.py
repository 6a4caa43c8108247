"""Local control: a segmenter acts in a region that the user draws, and what it made is stitched back without a seam.

Source: the tool of Cheng, Tai and Tang (MiVOS, CVPR 2021). In the region an object may be changed where else it is
not; what a network makes of the border of a crop is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from univs.errors import UserError
from univs.interactive.interactions import Interactions, Kind
from univs.interactive.segmenters.segmenter import Frame, Probabilities, Segmenter

TRIM = 3
"""Pixels along the border of a region that stay as they were; none where it is no larger than twice that."""


@dataclass(frozen=True)
class Region:
    """A part of a frame, pixels; right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.left >= self.right or self.top >= self.bottom:
            raise UserError(f"the region {self.text()} is empty; right must exceed left and bottom must exceed top")

    def text(self) -> str:
        """left,top,right,bottom."""
        return f"{self.left},{self.top},{self.right},{self.bottom}"

    def validate(self, height: int, width: int) -> None:
        """Raise UserError unless the region lies in a frame of that size."""
        if self.left < 0 or self.top < 0 or self.right > width or self.bottom > height:
            raise UserError(
                f"the region {self.text()} reaches outside the frame; x must be in 0..{width}, y in 0..{height}"
            )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def stitch(whole: Probabilities, part: Probabilities, region: Region) -> Probabilities:
    """A new map that is `part` within a region, but for a margin of `TRIM`, and `whole` elsewhere.

    Args:
        whole: ... H W.
        part: ... h w of the region's size.
    """
    across = TRIM if region.right - region.left > 2 * TRIM else 0
    down = TRIM if region.bottom - region.top > 2 * TRIM else 0
    height, width = part.shape[-2:]
    inner = slice(down, height - down), slice(across, width - across)
    stitched = whole.copy()
    stitched[(..., *region.slices)][(..., *inner)] = part[(..., *inner)]
    return stitched


class LocalSegmenter:
    """A segmenter that sees and changes a region alone.

    Args:
        segmenter: acts in the region; what is said is told to it in pixels of the region. What strokes and earlier
            clicks have beyond it is cut.
        region: lies in every frame that is asked about.
    """

    def __init__(self, segmenter: Segmenter, region: Region) -> None:
        self.segmenter, self.region = segmenter, region
        self.takes: frozenset[Kind] = segmenter.takes

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`; `current` is the mask as it is now, with all that was done to it on this frame.

        Raises UserError for a region outside the frame and for clicks or a box outside the region.
        """
        region = self.region
        region.validate(*current.shape)
        moved = said.moved(region.left, region.top)
        height, width = region.bottom - region.top, region.right - region.left
        inside = tuple(click for click in moved.earlier if 0 <= click.x < width and 0 <= click.y < height)
        moved = replace(moved, earlier=inside)
        for click in moved.clicks:
            if not (0 <= click.x < width and 0 <= click.y < height):
                x, y = click.x + region.left, click.y + region.top
                raise UserError(f"the click at {x:g},{y:g} lies outside the region {region.text()}")
        if moved.box is not None:
            left, top, right, bottom = moved.box
            if left < 0 or top < 0 or right > width or bottom > height:
                raise UserError(f"the box reaches outside the region {region.text()}")
        crop = np.ascontiguousarray(frame[region.slices])
        part = self.segmenter.segment(crop, np.ascontiguousarray(current[region.slices]), moved)
        return stitch(current, part, region)
