"""A photo with its objects, where photos come from, and the cache that keeps decoded ones in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from univs.errors import UserError


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


def read_rgb(path: Path) -> np.ndarray:
    """Pixels of an image file, H W 3 uint8 RGB. Raises UserError for a file that cannot be decoded."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise UserError(f"cannot read image {path}: {error}") from error


def read_indices(path: Path) -> np.ndarray:
    """Pixel values of a palette or grey PNG as stored, H W uint8. Raises UserError for any other file."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise UserError(f"mask {path} is {image.mode}: expected an indexed (palette) or grey 8-bit PNG")
            return np.array(image.convert("L") if image.mode == "1" else image)
    except OSError as error:
        raise UserError(f"cannot read mask {path}: {error}") from error


def shrink(image: np.ndarray, labels: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo and labels scaled down so that no side exceeds `longest` pixels; smaller ones stay as they are."""
    height, width = labels.shape
    if max(height, width) <= longest:
        return image, labels
    ratio = longest / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX if ratio < 0.5 else Image.Resampling.BILINEAR)
    return np.array(small), np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def require_folder(path: Path, what: str) -> Path:
    """The path itself if it is a folder; UserError naming `what` otherwise."""
    if not path.is_dir():
        raise UserError(f"{what}: no folder {path}")
    return path


def require_same_size(image: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Raises UserError unless the mask has the size of its image."""
    if image.shape[:2] != labels.shape:
        (h, w), (mask_h, mask_w) = image.shape[:2], labels.shape
        raise UserError(f"mask {path} is {mask_w}x{mask_h} pixels, its image is {w}x{h}")


def read_names(exclude: str | Path | list[str] | tuple[str, ...] | None) -> frozenset[str]:
    """Names to leave out: a list, or a text file with one a line (blank lines and # comments skipped)."""
    if exclude is None:
        return frozenset()
    if isinstance(exclude, (list, tuple)):
        return frozenset(str(name) for name in exclude)
    path = Path(exclude)
    if not path.is_file():
        raise UserError(f"list of excluded names: no file {path}")
    lines = (line.strip() for line in path.read_text().splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
