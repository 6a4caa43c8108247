"""How a thing looks: a sprite with its own or another tint, an outline into which a photo is poured, or a cut-out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from univs.data.synth.dice import Dice
from univs.data.synth.photos import PhotoFolder
from univs.data.synth.sprites import Sprite, trim
from univs.data.synth.textures import blobs, fractal

TINTS: dict[str, tuple[int, int, int]] = {
    "red": (230, 50, 45),
    "orange": (240, 140, 40),
    "yellow": (245, 215, 60),
    "green": (70, 175, 70),
    "blue": (60, 110, 220),
    "purple": (145, 80, 190),
    "pink": (245, 150, 185),
    "brown": (140, 95, 60),
    "white": (250, 250, 250),
    "black": (70, 70, 75),
}
SOFT_GROUPS = ("animals", "mammals", "birds", "reptiles", "insects", "people", "clothes", "plants")


class Look:
    """A picture that can be drawn at any scale; `noun` and `tint` say what it is, None where that cannot be said."""

    def __init__(self, picture: np.ndarray, noun: str | None, tint: str | None = None, soft: float = 0.5) -> None:
        self.noun, self.tint, self.soft = noun, tint, soft
        self.height, self.width = picture.shape[:2]
        self._levels = [Image.fromarray(picture, "RGBA").convert("RGBa")]

    def at(self, scale: float) -> tuple[Image.Image, int]:
        """The picture (PIL, RGBa) halved `level` times, so that drawing at `scale` skips no pixels; and the level."""
        level = 0
        while scale < 0.6 and level < 5:
            scale, level = scale * 2, level + 1
        while len(self._levels) <= level:
            self._levels.append(self._levels[-1].reduce(2))
        return self._levels[level], level


@dataclass(frozen=True)
class Wardrobe:
    """What looks are made of: the sprites of a split and maybe photos."""

    sprites: tuple[Sprite, ...]
    photos: PhotoFolder | None

    def look(self, dice: Dice, difficulty: float) -> Look:
        """A random look; with photos, most are made of them."""
        kind = dice.uniform() if self.photos else 0.0
        if self.photos and kind > 0.7:
            cut = self.photos.cut_out(dice)
            if cut is not None:
                return Look(cut, None, soft=0.6)
        if self.photos and kind > 0.5:
            return Look(_pour(_blob(dice), dice, self.photos), None, soft=1.0)
        sprite = dice.pick(self.sprites)
        soft = 1.0 if sprite.group.endswith(SOFT_GROUPS) else 0.25
        if self.photos and kind > 0.25:
            return Look(_pour(sprite.picture(), dice, self.photos), None, soft=soft)
        picture, tint = sprite.picture(), None
        if dice.chance(0.35):
            tint = dice.pick(tuple(TINTS))
            picture = _tinted(picture, TINTS[tint])
        if dice.chance(0.2 + 0.4 * difficulty):
            picture = _worn(picture, dice, 0.15 + 0.35 * difficulty)
        return Look(picture, sprite.noun, tint, soft)


def _tinted(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture's light and shade in another colour, with a quarter of its own colours left."""
    rgb = picture[..., :3].astype(np.uint16)
    light = (rgb[..., 0] * 77 + rgb[..., 1] * 150 + rgb[..., 2] * 29) >> 8
    light = np.minimum(light + 60, 255)[..., None]
    painted = (light * np.array(colour, np.uint16)) // 255
    mixed = ((painted * 3 + rgb) >> 2).astype(np.uint8)
    return np.concatenate([mixed, picture[..., 3:]], -1)


def _worn(picture: np.ndarray, dice: Dice, strength: float) -> np.ndarray:
    """The picture with a grain of its own, as rough or dirty things have; opaque as before."""
    height, width = picture.shape[:2]
    grain = fractal(dice, height, width, rough=dice.integer(4), zoom=dice.uniform(0.7, 2)).astype(np.int16) - 128
    grain = grain * np.int16(128 * strength * dice.uniform(0.2, 1.0)) >> 7
    rgb = np.clip(picture[..., :3] + grain[..., None], 0, 255).astype(np.uint8)
    return np.concatenate([rgb, picture[..., 3:]], -1)


def _pour(picture: np.ndarray, dice: Dice, photos: PhotoFolder) -> np.ndarray:
    """A piece of a photo in the outline of the picture, with some of the picture's light and shade."""
    height, width = picture.shape[:2]
    texture = photos.texture(dice, height, width).astype(np.uint16)
    shade = picture[..., :3].max(-1).astype(np.uint16)
    keep = dice.pick((256, 192, 128))
    texture = (texture * (keep + (((256 - keep) * shade) >> 8))[..., None]) >> 8
    return np.concatenate([texture.astype(np.uint8), picture[..., 3:]], -1)


def _blob(dice: Dice) -> np.ndarray:
    """A random closed shape: a window of a noise's hills above a height that falls off from the middle."""
    size = 160
    noise = blobs(dice, size, size).astype(np.int32)
    line = np.abs(np.arange(size) * 2 - size)
    stretch = 64 + dice.integer(130)
    distance = (line[:, None] ** 2 + (line[None] ** 2) * stretch // 128) >> 7
    height = noise + 100 - distance
    alpha = np.clip((height - 128) * 24, 0, 255).astype(np.uint8)
    if not alpha.any():
        alpha[size // 4 : -size // 4, size // 4 : -size // 4] = 255
    grey = np.full((size, size, 3), 255, np.uint8)
    return trim(np.concatenate([grey, alpha[..., None]], -1))
