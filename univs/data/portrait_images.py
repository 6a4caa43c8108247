"""Training samples of the portrait net: a photo, where the people are, and the mask of the frame before.

There are no videos: the mask of the frame before is made from the true one (Bazarevsky and Tkachenka, 2018). It is
empty (a first frame, people who enter), moved (a little: to be carried on and mended; a lot: to be thrown away), or
bent as by a thin plate (fast movement); now and then it is that of another photo. S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from univs.data.appearance import degrade
from univs.data.clips import READERS
from univs.data.mask_noise import disturb_box
from univs.data.photo import Photo, PhotoSource
from univs.data.photo_pool import PhotoPool
from univs.data.scribble_images import crop_photo
from univs.data.source_settings import SourceCount, open_sources
from univs.data.warps import opencv
from univs.errors import UserError
from univs.formats.sample import IGNORE

PERSON = "person"
SCALES = (0.5, 1.5)
"""Of a photo whose shorter side fills the crop at 1."""
KINDS = {"empty": 0.25, "moved": 0.45, "bent": 0.25, "other": 0.05}
"""How often the mask of the frame before is what."""
FAR = 1 / 3
"""Of the moved ones, so many are moved a lot."""
BACKGROUNDS = 0.2
"""Share of the people that stand in another photo."""
NOBODY = 0.08
"""Share of the samples from photos that are known to show nobody."""
EDGE = 32
"""Depths of grey in the rounded masks, at most."""


@dataclass(frozen=True)
class Portrait:
    """image: S S 3 uint8. mask: S S uint8, 1 people, 0 not, 255 unknown. before: S S uint8, 255 where the mask of the
    frame before is sure of people."""

    image: np.ndarray
    mask: np.ndarray
    before: np.ndarray


class Portraits(Dataset[Portrait]):
    """An endless supply; the sample of an index depends on index and seed alone.

    Args:
        photos: with labelled people: those of the category "person", or all labelled objects of a photo without
            categories.
        size: S.
        seed: of the draws.
        counts: of what the sources hold, for who reports it.
    """

    def __init__(self, photos: PhotoPool, *, size: int, seed: int = 0, counts: Sequence[SourceCount] = ()) -> None:
        self.photos, self.size, self.seed, self.counts = photos, size, seed, tuple(counts)

    def __len__(self) -> int:
        return 100_000_000

    def __getitem__(self, index: int) -> Portrait:
        rng = np.random.default_rng([self.seed, index])
        image, mask = self._crop(rng, nobody=rng.random() < NOBODY)
        if rng.random() < BACKGROUNDS and (mask == 1).any() and not (mask == IGNORE).any():
            image = self._elsewhere(image, mask, rng)
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        true = (mask == 1).astype(np.float32)
        if kind == "empty":
            before = np.zeros_like(true)
        elif kind == "moved":
            before = warped(true, moved(rng, self.size, far=rng.random() < FAR))
        elif kind == "bent":
            places = bent(rng, self.size)
            if rng.random() < 0.5:
                before = warped(true, places)
            else:  # the frame has moved on, and the mask is that of before
                before = true
                image = warped(image, places)
                mask = warped(mask, places, exact=True)
        else:
            before = (self._crop(rng, nobody=False)[1] == 1).astype(np.float32)
        return Portrait(degrade(image[None], rng)[0], mask, worn(before, rng))

    def _crop(self, rng: np.random.Generator, nobody: bool) -> tuple[np.ndarray, np.ndarray]:
        """A crop of a photo with people, or of one that shows nobody if there are such."""
        for _ in range(100):
            photo = self.photos.draw(rng)
            if nobody and shows_nobody(photo):
                break
            if not nobody and (people(photo) == 1).any():
                break
        else:
            if not nobody:
                raise UserError("training portraits: 100 photos drawn, none with people")
        image, labels = crop_photo(
            Photo(photo.image, people(photo), complete=photo.complete), rng, self.size, scales=SCALES
        )
        return image, labels

    def _elsewhere(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The people of a crop before another photo, that shows nobody; the crop itself where none is found."""
        for _ in range(20):
            photo = self.photos.draw(rng)
            if shows_nobody(photo):
                place = crop_photo(Photo(photo.image, np.zeros_like(photo.labels)), rng, self.size, scales=(1.0, 1.5))
                alpha = opencv().GaussianBlur((mask == 1).astype(np.float32), (0, 0), 1.0)[..., None]
                return np.rint(image * alpha + place[0] * (1 - alpha)).astype(np.uint8)
        return image


def people(photo: Photo) -> np.ndarray:
    """H W uint8: 1 people, 0 not, 255 unknown. Photos without categories show people alone."""
    unknown = photo.labels == IGNORE
    if photo.categories:
        ids = [number for number, noun in photo.categories.items() if noun == PERSON]
        mask = np.isin(photo.labels, ids)
    else:
        mask = (photo.labels > 0) & ~unknown
    return np.where(unknown, IGNORE, mask).astype(np.uint8)


def shows_nobody(photo: Photo) -> bool:
    """Whether a photo is known to show no people, in all its pixels: what is unknown may be a crowd."""
    named = photo.complete and bool(photo.categories) and not (photo.labels == IGNORE).any()
    return named and PERSON not in photo.categories.values()


def moved(rng: np.random.Generator, size: int, far: bool) -> np.ndarray:
    """S S 2 float32: where each pixel (x, y) comes from when a mask is turned, shifted, scaled and sheared."""
    turn, shift, shear = np.deg2rad(30 if far else 10), 0.25 if far else 0.05, np.deg2rad(5)
    scale = np.exp(rng.uniform(*np.log((0.7, 1.4) if far else (0.95, 1.05))))
    angle, slant = rng.uniform(-turn, turn), np.tan(rng.uniform(-shear, shear))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[1, slant], [0, 1]]
    places = pixels(size) - size / 2
    return (places @ linear.T + size / 2 + rng.uniform(-shift, shift, 2) * size).astype(np.float32)


def bent(rng: np.random.Generator, size: int) -> np.ndarray:
    """S S 2 float32: where each pixel comes from on a thin plate whose control points are displaced at random."""
    from scipy.interpolate import RBFInterpolator

    side = int(rng.integers(3, 6))
    line = np.linspace(0, 1, side)
    controls = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    pulls = rng.standard_normal(controls.shape) * rng.uniform(0.03, 0.06)
    plate = RBFInterpolator(controls, pulls, kernel="thin_plate_spline", smoothing=1e-3)
    lattice = np.linspace(0, 1, 17)
    coarse = plate(np.stack(np.meshgrid(lattice, lattice), -1).reshape(-1, 2)).reshape(17, 17, 2)
    field = opencv().resize(coarse.astype(np.float32), (size, size), interpolation=opencv().INTER_CUBIC)
    return pixels(size) + np.float32(size) * field


def pixels(size: int) -> np.ndarray:
    """S S 2 float32: every pixel's own place, x and y."""
    line = np.arange(size, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), -1)


def warped(values: np.ndarray, places: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """S S or S S 3 taken from these places; masks are empty beyond the border, unknown where they are `exact` labels,
    pictures go on."""
    cv2 = opencv()
    picture = values.ndim == 3
    result: np.ndarray = cv2.remap(
        values,
        places,
        None,
        cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101 if picture else cv2.BORDER_CONSTANT,
        borderValue=IGNORE if exact else 0,
    )
    return result


def worn(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """S S 0..1 as a network leaves it: soft or rounded, with pieces missing or added; uint8 0..255."""
    mask = mask.copy()
    if rng.random() < 0.5:
        pieces = (mask > 0.5).astype(np.uint8)
        for _ in range(int(rng.integers(1, 9))):
            disturb_box(pieces, rng)
        mask = pieces.astype(np.float32)
    if rng.random() < 0.7:
        mask = opencv().GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 4)))
    if rng.random() < 0.3:
        depth = int(rng.integers(1, EDGE))
        mask = np.rint(mask * depth) / depth
    return np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)


def collate_portraits(samples: Sequence[Portrait]) -> dict[str, Any]:
    """A batch: frames B 3 S S uint8, masks B S S uint8 (255 unknown), before B 1 S S uint8."""
    return {
        "frames": torch.from_numpy(np.stack([one.image for one in samples])).permute(0, 3, 1, 2).contiguous(),
        "masks": torch.from_numpy(np.stack([one.mask for one in samples])),
        "before": torch.from_numpy(np.stack([one.before for one in samples]))[:, None],
    }


def build_portraits(sources: Sequence[Mapping[str, Any]], *, size: int, seed: int = 0) -> Portraits:
    """Training samples from the photos among the sources of `build_clips`. Raises UserError as `build_clips` does, and
    for videos."""
    photos: list[tuple[PhotoSource, float]] = []
    counts = []
    for own, found, name in open_sources(sources, READERS):
        if isinstance(found, Sequence):
            raise UserError(f"the source {name} holds videos; stage portrait learns from photos alone")
        photos.append((found, own.weight))
        counts.append(SourceCount(name, "photo", len(found), own.weight if len(found) else 0.0))
    return Portraits(PhotoPool(photos), size=size, seed=seed, counts=counts)
