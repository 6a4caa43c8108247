"""Names of colours: of single pixels, and of a thing as far as one can say."""

from __future__ import annotations

import numpy as np

from univs.data.synth.look import Look

NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "grey", "black")
# Neighbours in hue or lightness: light and grain can make one of the other.
NEXT_TO: dict[str, frozenset[str]] = {
    "red": frozenset({"orange", "pink", "brown"}),
    "orange": frozenset({"red", "yellow", "brown"}),
    "yellow": frozenset({"orange", "green", "brown"}),
    "green": frozenset({"yellow", "blue"}),
    "blue": frozenset({"green", "purple"}),
    "purple": frozenset({"blue", "pink"}),
    "pink": frozenset({"purple", "red"}),
    "brown": frozenset({"orange", "red", "yellow", "black", "grey"}),
    "white": frozenset({"grey"}),
    "grey": frozenset({"white", "black", "brown"}),
    "black": frozenset({"grey", "brown"}),
}
# Of the sprites' own colours only these are plain: their reds run into pink and brown, their browns into orange.
PLAIN = frozenset({"yellow", "green", "blue", "purple", "white", "grey"})
MOSTLY, HARDLY = 0.6, 0.12  # share of the pixels from which on a thing is of a colour, and up to which it is not
_HUE_ENDS = (12, 42, 70, 165, 255, 290, 345, 361)  # degrees: red, orange, yellow, green, blue, purple, pink, red


def name_pixels(rgb: np.ndarray) -> np.ndarray:
    """Index into NAMES for every pixel (... 3 uint8)."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = np.maximum(high - low, 1)
    hue = np.where(high == red, (green - blue) * 60 // spread, 0)
    hue = np.where((high == green) & (high != red), 120 + (blue - red) * 60 // spread, hue)
    hue = np.where((high == blue) & (high != red) & (high != green), 240 + (red - green) * 60 // spread, hue) % 360
    name = np.array([0, 1, 2, 3, 4, 5, 6, 0])[np.searchsorted(_HUE_ENDS, hue, side="right")]
    brown = (name <= 2) & (hue < 60) & (high < 175) & ((name > 0) | (high < 110))
    name = np.where(brown, 7, name)
    name = np.where((name == 0) & (low > 130), 6, name)  # a light red is pink
    pale = (high - low) * 100 < 22 * high
    lightness = np.where(high >= 205, 8, np.where(high >= 85, 9, 10))
    return np.where(pale | (high < 55), lightness, name)


def shares(look: Look) -> dict[str, float]:
    """Share of the pixels of a thing's picture that are of each colour; they add up to one."""
    picture, _ = look.at(0.3)
    rgba = np.asarray(picture.convert("RGBA"))
    count = np.bincount(name_pixels(rgba[rgba[..., 3] >= 128][:, :3]), minlength=len(NAMES))
    return {name: int(n) / max(1, int(count.sum())) for name, n in zip(NAMES, count, strict=True)}


def is_coloured(look: Look, found: dict[str, float], name: str) -> bool | None:
    """Whether one would call the thing red (or another of NAMES); None where that is open to doubt.

    found: its `shares`. A tinted thing is of the colour of its tint if enough of it still looks so.
    """
    near = found[name] + sum(found[other] for other in NEXT_TO[name])
    if look.tint is not None:
        if look.tint == name:
            return True if near >= MOSTLY else None
        return False if look.tint not in NEXT_TO[name] and found[name] <= 2 * HARDLY else None
    if found[name] >= MOSTLY:
        return True if name in PLAIN else None
    return False if near <= 2 * HARDLY and found[name] <= HARDLY else None
