"""What a camera does to a picture: light that drifts, movement and focus that blur, grain, JPEG."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from univs.data.synth.dice import Dice

_GRAIN_STREAM = 7_002
_GRAIN_LENGTH = 1 << 20


class Film:
    """The development of the frames of one clip; `difficulty` (0..1) scales how bad it gets."""

    def __init__(self, dice: Dice, frames: int, difficulty: float) -> None:
        rough = difficulty * dice.uniform(0.2, 1.4)
        self._offsets = (dice.child(1).array(frames, 1) * (_GRAIN_LENGTH // 2)).astype(int)
        drift = dice.child(2).curve(frames, 4, dice.uniform(8, 40))
        self._gain = 1 + (dice.array(1, 3) - 0.5) * 0.3 + drift[:, :3] * 0.12 * rough + drift[:, 3:] * 0.5 * rough
        self._lift = dice.uniform(-12, 18)
        self._soft = int(dice.uniform(25, 90) * min(rough, 1)) if dice.chance(0.35) else 0
        self._grain = int(dice.uniform(0, 14) * rough)
        self._quality = int(95 - 60 * rough * dice.uniform(0.3, 1.0)) if dice.chance(0.6) and rough else 0

    def develop(self, frame: Image.Image, t: int, sweep: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Frame t as it is recorded, H W 3 uint8; `sweep` is the way of the whole picture during the exposure."""
        reach = max(map(abs, sweep))
        if reach >= 2:
            frame = _smear(frame, sweep)
        if self._soft:
            frame = Image.fromarray(_blur(np.asarray(frame), self._soft))
        frame = frame.point(self._table(t))
        pixels = np.array(frame)
        if self._grain:
            count = min(pixels.size, _GRAIN_LENGTH // 2)
            start = int(self._offsets[t, 0])
            grain = np.resize(_grain()[start : start + count], pixels.shape) * np.int16(self._grain) >> 5
            grain += pixels
            pixels = np.clip(grain, 0, 255, out=grain).astype(np.uint8)
        if self._quality:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=max(25, self._quality))
            pixels = np.array(Image.open(buffer))
        return pixels

    def _table(self, t: int) -> list[int]:
        levels = np.arange(256)[None] * self._gain[t][:, None] + self._lift
        return [int(level) for level in np.clip(np.floor(levels + 0.5), 0, 255).reshape(-1)]


def _blur(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels mixed with their neighbours in x and in y; each neighbour has `side` / 256 of the weight."""
    for axis in (0, 1):
        wide = np.moveaxis(pixels.astype(np.uint16), axis, 0)
        mixed = wide * np.uint16(256 - 2 * side)
        mixed[1:] += wide[:-1] * np.uint16(side)
        mixed[:-1] += wide[1:] * np.uint16(side)
        mixed[0] += wide[0] * np.uint16(side)
        mixed[-1] += wide[-1] * np.uint16(side)
        pixels = np.moveaxis((mixed >> 8).astype(np.uint8), 0, axis)
    return pixels


def _smear(frame: Image.Image, sweep: tuple[float, float]) -> Image.Image:
    """The picture averaged along a straight way; its edges repeat."""
    copies = min(5, 1 + int(max(map(abs, sweep)) / 2))
    pixels = np.asarray(frame)
    height, width = pixels.shape[:2]
    steps = [(i + 0.5) / copies - 0.5 for i in range(copies)]
    shifts = [(int(np.floor(sweep[0] * s + 0.5)), int(np.floor(sweep[1] * s + 0.5))) for s in steps]
    pad = max(max(abs(dx), abs(dy)) for dx, dy in shifts)
    wide = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    total = np.zeros(pixels.shape, np.uint16)
    for dx, dy in shifts:
        total += wide[pad - dy : pad - dy + height, pad - dx : pad - dx + width]
    return Image.fromarray((total // copies).astype(np.uint8))


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Noise of about the normal distribution, int16, standard deviation 32."""
    dice = Dice(_GRAIN_STREAM)
    total = sum(dice.array(_GRAIN_LENGTH) for _ in range(4))
    return np.floor((np.asarray(total) - 2) * 55.4).astype(np.int16)
