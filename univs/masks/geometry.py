"""From the frame's own pixels to the network's input and back.

Three sizes: the frame (H W, as given), the input (the frame, perhaps resized) and the padded input (right and bottom
filled up to a multiple of 32, or to a square). Mask logits live at a quarter of the padded input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SIZE_MULTIPLE = 32
"""The padded input is a multiple of this, so that it has whole cells at every stride."""
MASK_STRIDE = 4
"""Pixels of the padded input to a cell of the mask logits."""
NOBODY = -16.0
"""Mask logit where an object can't be."""
ENLARGED = 4
"""How many times larger a frame is made at most."""


def short_side(asked: int | None, brought: int, height: int, width: int) -> int:
    """The short side of the input, pixels, for a frame of height x width; 0 stands for the frame's own.

    Small frames are enlarged as well, but fourfold at most: on four sequences of DAVIS at 240p that raises J&F from 81
    to 86, at 160p from 73 to 86. It takes the time of a large frame.

    Args:
        asked: what a person wants, None: what the model brings along.
        brought: at which short side the model was made to look at frames.
    """
    own = min(height, width)
    if asked is not None:
        return asked or own
    return min(brought, ENLARGED * own) or own


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels."""

    height: int
    width: int
    input_height: int
    input_width: int
    square: int = 0
    """The padded input has at least this side in both directions."""

    @classmethod
    def fit(cls, height: int, width: int, short: int | None = None, square: int | None = None) -> Geometry:
        """Sizes for a frame of height x width.

        Args:
            short: side of the input; None: as it is.
            square: side of the square to which smaller inputs are padded; None: no more than the network needs.
        """
        scale = 1.0 if short is None else short / min(height, width)
        return cls(height, width, max(1, round(height * scale)), max(1, round(width * scale)), square or 0)

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) of the padded input."""
        height, width = (max(side, self.square) for side in (self.input_height, self.input_width))
        return (-(-height // SIZE_MULTIPLE) * SIZE_MULTIPLE, -(-width // SIZE_MULTIPLE) * SIZE_MULTIPLE)

    @property
    def cells(self) -> tuple[int, int]:
        """(height, width) in cells of stride 4 that have a pixel of the frame in them."""
        return (-(-self.input_height // MASK_STRIDE), -(-self.input_width // MASK_STRIDE))

    def clear_margin(self, logits: Tensor) -> Tensor:
        """Mask logits ... h w, `NOBODY` from now on where a cell lies beyond the frame; the same tensor."""
        below, right = self.cells
        logits[..., below:, :] = logits[..., right:] = NOBODY
        return logits

    @property
    def resized(self) -> bool:
        """Whether the input differs in size from the frame."""
        return (self.height, self.width) != (self.input_height, self.input_width)

    def shrink_frame(self, frame: NDArray[np.uint8]) -> Tensor:
        """H W 3 frame -> 1 3 h w uint8 of input size, without padding."""
        image = torch.from_numpy(np.require(frame, requirements=("C", "W"))).permute(2, 0, 1)[None]
        if not self.resized:
            return image
        size = (self.input_height, self.input_width)
        return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)

    def shrink_points(self, xy: Sequence[tuple[float, float]]) -> Tensor:
        """P points in pixels of the frame -> P 2 in pixels of the input."""
        return torch.tensor(xy, dtype=torch.float32).reshape(-1, 2) * self._factors()

    def shrink_box(self, xyxy: Sequence[float]) -> Tensor:
        """A box in pixels of the frame -> 4 in pixels of the input."""
        return torch.tensor(xyxy, dtype=torch.float32) * self._factors().repeat(2)

    def enlarge_box(self, xyxy: Tensor) -> tuple[float, float, float, float]:
        """A box 4 in pixels of the input -> in pixels of the frame: the reverse of `shrink_box`."""
        left, top, right, bottom = (xyxy.cpu() / self._factors().repeat(2)).tolist()
        return left, top, right, bottom

    def shrink_masks(self, masks: Sequence[NDArray[np.bool_]]) -> Tensor:
        """N masks H W -> N H' W' 0 or 1 at the padded input; a mask that is not empty does not become so."""
        stacked = torch.from_numpy(np.stack(masks)).float()
        if self.resized:
            size = (self.input_height, self.input_width)
            share = F.interpolate(stacked[None], size=size, mode="area")[0]
            stacked = (share >= share.amax((1, 2), keepdim=True).clamp(1e-6, 0.5)).float()
        below, right = (outer - inner for outer, inner in zip(self.padded, stacked.shape[-2:], strict=True))
        return F.pad(stacked, (0, right, 0, below))

    def from_padded(self, maps: Tensor) -> Tensor:
        """N H' W' maps at the padded input -> N H W at the frame: cut out, then bilinear where the sizes differ."""
        inner = maps[:, : self.input_height, : self.input_width]
        if not self.resized:
            return inner
        return F.interpolate(inner[None], size=(self.height, self.width), mode="bilinear", align_corners=False)[0]

    def _factors(self) -> Tensor:
        return torch.tensor([self.input_width / self.width, self.input_height / self.height])


def split_padding(height: int, width: int, multiple: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) pixels that bring both sides to a multiple, the smaller half left and above.

    How space-time memories pad (STM, MiVOS).
    """
    down, across = -height % multiple, -width % multiple
    return across // 2, across - across // 2, down // 2, down - down // 2
