"""Scribbles to a mask by a network (S2M, or a light one that takes the same)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
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
    """

    takes: frozenset[Kind] = frozenset({"strokes"})

    def __init__(self, network: ScribbleToMask | LightScribbleToMask) -> None:
        self.network = network

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`; of the mask so far the network sees where the object is likelier than not."""
        positive, negative = draw_signs(said.strokes, current.shape)
        return self.answer(frame, current > 0.5, positive, negative)

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


def normalized(frame: Frame, network: ScribbleToMask | LightScribbleToMask) -> Tensor:
    """A frame H W 3 as the network takes it, 3 H W."""
    mean, std = torch.tensor(network.pixel_mean), torch.tensor(network.pixel_std)
    return ((torch.from_numpy(frame).float() - mean) / std).permute(2, 0, 1)
