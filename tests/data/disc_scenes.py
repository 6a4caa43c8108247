"""Discs, actors and photos that tests of made clips are about."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.photo import Photo
from univs.data.warps import Motion

pytest.importorskip("cv2")

from univs.data.composites import (  # noqa: E402
    Actor,
    Scene,
)
from univs.data.cutouts import CutOut, cut_out  # noqa: E402
from univs.data.photo_pool import PhotoPool  # noqa: E402

SIZE = 96


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x, ys - y) <= radius


def disc_cut(value: int = 200, radius: int = 10) -> CutOut:
    mask = disc(4 * radius, 4 * radius, 2 * radius, 2 * radius, radius)
    return cut_out(np.full((*mask.shape, 3), value, np.uint8), mask, 0.5)


def actor(path: list[tuple[float, float]], value: int = 200, shutter: float = 0.0, opacity: float = 1.0) -> Actor:
    """A disc whose centre goes along a path."""
    one = np.ones(len(path))
    return Actor([disc_cut(value)] * len(path), Motion(np.array(path), one, 0 * one, one), None, opacity * one, shutter)


def empty(frames: int, used: int = 0) -> Scene:
    labels = np.zeros((frames, SIZE, SIZE), np.uint8)
    labels[:, 0, :5] = used
    labels[:, -1, :5] = 255
    return Scene(np.zeros((frames, SIZE, SIZE, 3), np.uint8), labels, True)


def centre_of(mask: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


class Pool:
    """Photos of the names of categories, one disc each, of the brightness 100 + the photo's number."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @property
    def name(self) -> str:
        return "pool"

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset({self.names[index]})

    def __getitem__(self, index: int) -> Photo:
        mask = disc(100, 140, 70, 50, 25)
        image = np.where(mask[..., None], 100 + index, 30).astype(np.uint8).repeat(3, 2)
        return Photo(image, np.where(mask, 7, 0).astype(np.uint8), {7: self.names[index]}, index % 2 == 0)


def pool(names: list[str] | None = None) -> PhotoPool:
    return PhotoPool([(Pool(names or ["cat", "cat", "dog", "owl"]), 1.0)])
