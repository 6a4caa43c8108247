"""A photo with its objects, where photos come from, and the cache that keeps decoded ones in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Photo:
    """One photo of H x W pixels and the objects labelled on it."""

    image: np.ndarray  # H W 3 uint8 RGB
    labels: np.ndarray  # H W uint8: object ids 1..254, 0 background or unlabelled, 255 ignore
    categories: dict[int, str] = field(default_factory=dict)  # object id -> noun; may be empty
    complete: bool = False  # True: every object is labelled, so label 0 is background
    name: str = ""

    @property
    def nbytes(self) -> int:
        """Memory the pixels take."""
        return self.image.nbytes + self.labels.nbytes


class PhotoSource(Protocol):
    """Photos by index, decoded when asked for."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Photo: ...

    def nouns(self, index: int) -> frozenset[str]:
        """Categories on a photo, known without decoding it."""
        ...


class CachedPhotos:
    """Photos of a source kept decoded; the least recently used go first once `capacity` bytes are taken."""

    def __init__(self, source: PhotoSource, capacity: int) -> None:
        self.source = source
        self.capacity = capacity
        self._photos: OrderedDict[int, Photo] = OrderedDict()
        self._bytes = 0

    @property
    def name(self) -> str:
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def nouns(self, index: int) -> frozenset[str]:
        return self.source.nouns(index)

    def __getitem__(self, index: int) -> Photo:
        if index in self._photos:
            self._photos.move_to_end(index)
            return self._photos[index]
        photo = self.source[index]
        self._photos[index] = photo
        self._bytes += photo.nbytes
        while self._bytes > self.capacity and len(self._photos) > 1:
            self._bytes -= self._photos.popitem(last=False)[1].nbytes
        return photo


def shrink(image: np.ndarray, labels: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo and labels scaled down so that no side exceeds `longest` pixels; smaller ones stay as they are."""
    height, width = labels.shape
    if max(height, width) <= longest:
        return image, labels
    ratio = longest / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX if ratio < 0.5 else Image.Resampling.BILINEAR)
    return np.array(small), np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
