"""A photo with its objects, where photos come from, and the cache that keeps decoded ones in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from univs.errors import UserError
from univs.masks.mask_files import read_objects, read_values
from univs.masks.meanings import IGNORE
from univs.texts import read_entries
from univs.video.pictures import picture_sizes
from univs.video.pictures import read_rgb as read_rgb  # photos are read as frames are


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


def read_indices(path: Path) -> np.ndarray:
    """Values of an indexed or grey label map as stored, H W uint8. Raises UserError for any other file."""
    return _of_8_bits(read_values(path), path)


def read_labels(path: Path) -> np.ndarray:
    """Labels H W uint8 of a mask of objects (`univs.masks.mask_files.read_objects`): ids 1..254, 255 unknown."""
    found = read_objects(path)
    return np.where(found.void, IGNORE, _of_8_bits(found.ids, path, IGNORE - 1)).astype(np.uint8)


def _of_8_bits(values: np.ndarray, path: Path, largest: int = 255) -> np.ndarray:
    if values.max(initial=0) > largest:
        raise UserError(f"mask {path} holds {values.max()}; data sets hold ids up to {largest}")
    return values.astype(np.uint8)


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


def require_same_size(image: np.ndarray, labels: np.ndarray, what: str, picture: Path) -> None:
    """Raises UserError unless labels, which `what` names, have the size of their image, which was read from a file."""
    if image.shape[:2] != labels.shape:
        raise UserError(f"{what} is {_width_height(labels.shape)} pixels, {sizes_of(image.shape[:2], picture)}")


def sizes_of(shown: tuple[int, ...], picture: Path) -> str:
    """Words for the size of a picture as it is seen and, where EXIF turns it, as it is stored."""
    words, stored = f"its image is {_width_height(shown)}", picture_sizes(picture)[1]
    return words if stored == shown else f"{words} as it is seen, {_width_height(stored)} as stored (EXIF turns it)"


def _width_height(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


def files_by_stem(folder: Path, wanted: Callable[[Path], bool], what: str) -> dict[str, Path]:
    """Stem -> file of those in a folder that are wanted, by name. Raises UserError where two have one stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if wanted(path) and path.is_file():
            if path.stem in found:
                raise UserError(f"{what}: both {found[path.stem].name} and {path.name} in {folder}; keep one of them")
            found[path.stem] = path
    return found


def read_names(exclude: str | Path | list[str] | tuple[str, ...] | None) -> frozenset[str]:
    """Names to leave out: a list, or a text file with one a line (blank lines and # comments skipped)."""
    if exclude is None:
        return frozenset()
    if isinstance(exclude, (list, tuple)):
        return frozenset(str(name) for name in exclude)
    path = Path(exclude)
    if not path.is_file():
        raise UserError(f"list of excluded names: no file {path}")
    return frozenset(line for line in read_entries(path, "names, one a line") if not line.startswith("#"))
