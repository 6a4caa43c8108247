"""The sprites: 361 shaded pictures with alpha, each with a noun and a group; a tenth is unseen in training."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

ARCHIVE = Path(__file__).with_name("assets") / "sprites.zip"
MARGIN = 4  # transparent pixels around a cut-out, so that interpolation fades out inside the picture


@dataclass(frozen=True)
class Sprite:
    """One entry of the archive: its noun, the group it belongs to, whether it is kept out of training."""

    noun: str
    group: str
    unseen: bool
    code: str

    def picture(self) -> np.ndarray:
        """The cut-out, h w 4 uint8 RGBA, trimmed to what is visible plus a margin; shared: do not write to it."""
        return _picture(self.code)


@lru_cache(maxsize=1)
def all_sprites() -> tuple[Sprite, ...]:
    """Every sprite, in the order of the archive."""
    return tuple(Sprite(**entry) for entry in json.loads(_read("index.json")))


@lru_cache(maxsize=3)
def sprites_of(split: str) -> tuple[Sprite, ...]:
    """The sprites of a split: training has only seen nouns, validation and test have all."""
    return tuple(s for s in all_sprites() if split != "train" or not s.unseen)


def trim(picture: np.ndarray, margin: int = MARGIN) -> np.ndarray:
    """A cut-out (h w 4 uint8 RGBA) cropped to the pixels that are at all visible, with a transparent margin around."""
    alpha = picture[..., 3]
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(cut, ((margin, margin), (margin, margin), (0, 0)))


@lru_cache(maxsize=1)
def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _read(name: str) -> bytes:
    return _members()[name]


@lru_cache(maxsize=128)
def _picture(code: str) -> np.ndarray:
    with Image.open(io.BytesIO(_read(f"{code}.webp"))) as image:
        picture = trim(np.asarray(image.convert("RGBA")))
    picture.setflags(write=False)
    return picture
