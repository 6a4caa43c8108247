"""Scribbles to a mask by a network (S2M, or a light one that takes the same)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.interactive.drawing import BoolMask, draw_signs
from univs.interactive.interactions import Interactions, Kind
from univs.interactive.segmenters.segmenter import Frame, Probabilities
from univs.masks.geometry import split_padding
from univs.models.scribble_to_mask import ScribbleToMask
from univs.models.scribble_to_mask_light import LightScribbleToMask


class ScribbleSegmenter:
    """Strokes, in a first round or on a mask.

    Args:
        network: in eval mode.
        size: short side in pixels of what the network sees of larger frames; None: all of them as they are.
    """

    takes: frozenset[Kind] = frozenset({"strokes"})

    def __init__(self, network: ScribbleToMask | LightScribbleToMask, size: int | None = None) -> None:
        self.network, self.size = network, size

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`; of the mask so far the network sees where the object is likelier than not.

        Strokes are as wide in a frame that was made smaller as in any other.
        """
        height, width = current.shape
        if self.size is None or self.size >= min(height, width):
            return self.answer(frame, current > 0.5, *draw_signs(said.strokes, (height, width)))
        factor = self.size / min(height, width)
        small = round(height * factor), round(width * factor)
        seen = np.rint(resized(frame.transpose(2, 0, 1), small)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        down, across = small[0] / height, small[1] / width
        strokes = [
            replace(s, xy=tuple(((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5) for x, y in s.xy))
            for s in said.strokes
        ]
        mask = resized(current[None], small)[0] > 0.5
        return resized(self.answer(seen, mask, *draw_signs(strokes, small))[None], (height, width))[0]

    @torch.inference_mode()
    def answer(self, frame: Frame, mask: BoolMask, positive: BoolMask, negative: BoolMask) -> Probabilities:
        """Probability of the object, H W, from the maps that the network sees, each H W."""
        height, width = mask.shape
        left, right, top, bottom = padding = split_padding(height, width, self.network.multiple)
        device = next(self.network.parameters()).device
        maps = torch.from_numpy(np.stack([mask, positive, negative]).astype(np.float32)).to(device)
        x = torch.cat([normalized(frame, self.network).to(device), maps])[None]
        logits = self.network(F.pad(x, padding))
        inner = logits[0, 0, top : top + height, left : left + width]
        return inner.sigmoid().cpu().numpy()


def resized(maps: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """C H W maps at another size, bilinear; a smaller one is a mean of what falls together."""
    given = torch.from_numpy(np.ascontiguousarray(maps)).float()[None]
    made: NDArray[np.float32] = F.interpolate(given, size, mode="bilinear", antialias=True)[0].numpy()
    return made


def normalized(frame: Frame, network: ScribbleToMask | LightScribbleToMask) -> Tensor:
    """A frame H W 3 as the network takes it, 3 H W."""
    mean, std = torch.tensor(network.pixel_mean), torch.tensor(network.pixel_std)
    pixels = torch.from_numpy(np.require(frame, requirements=("C", "W")))
    return ((pixels.float() - mean) / std).permute(2, 0, 1)
