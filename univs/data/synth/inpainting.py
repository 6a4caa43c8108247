"""Filling what lies behind an object that was cut out of a photo."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from univs.data.synth.scaling import resized

RIM = 7
"""Pixels across which the hole is wider than its mask is: an outline is never exact."""


def without_object(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The photo (h w 3 uint8) with the pixels of a mask (h w bool, not all) filled from around it.

    Push-pull: what is missing comes from the next coarser level that knows it (Gortler et al. 1996, section 3.4).
    """
    wide = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(RIM))
    hole = np.asarray(wide) > 0
    if hole.all():
        hole = mask
    return _filled(photo, ~hole)


def _filled(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    if known.all():
        return picture
    height, width = known.shape
    odd = ((0, height % 2), (0, width % 2))
    there = np.pad(known, odd)
    colours = np.pad(picture, (*odd, (0, 0))).astype(np.uint32) * there[..., None]
    blocks = colours.reshape(-1, 2, there.shape[1] // 2, 2, 3).sum((1, 3))
    count = there.reshape(-1, 2, there.shape[1] // 2, 2).sum((1, 3))
    coarse = _filled((blocks // np.maximum(count, 1)[..., None]).astype(np.uint8), count > 0)
    smooth = np.asarray(resized(Image.fromarray(coarse), height, width))
    return np.where(known[..., None], picture, smooth)
